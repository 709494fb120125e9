package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// journalCompare is "journal compare".
type journalCompare struct {
	Dir1 string `arg:"" help:"Directory of one journal."`
	Dir2 string `arg:"" help:"Directory of the other."`
	All  bool   `help:"List every publisher that differs, not only the first twenty."`
	JSON bool   `name:"json" help:"Print one JSON object."`
}

// Run implements the command.
func (c *journalCompare) Run(o *output) error {
	dirs := [2]string{c.Dir1, c.Dir2}
	var sides [2]journal.Index
	for i, dir := range dirs {
		index, err := journal.ReadIndex(seglog.ReadOnly, dir)
		if err := journalError(dir, index.Inspection, err); err != nil {
			return err
		}
		sides[i] = index
	}
	found := journal.Compare(sides[0], sides[1])
	shown := found.Diffs
	if !c.All {
		shown = shown[:min(len(shown), maxPublishersShown)]
	}
	records, err := readRecords(dirs, shown)
	if err != nil {
		return err
	}
	return o.report(c.JSON, found.Same(), comparisonReport(dirs, &found, shown, records), func() { c.print(o, dirs, &found, shown, records) })
}

// print shows a comparison to a person.
func (c *journalCompare) print(o *output, dirs [2]string, found *journal.Comparison, shown []journal.PublisherDiff, records records) {
	for i, f := range found.Inspections {
		o.printf("%s: %s of %s\n", dirs[i], plural(f.Records, "record"), plural(f.Publishers, "publisher"))
	}
	printLeftOut(o, found)
	printDiffering(o, dirs, len(found.Diffs), shown, records)
	for i := range dirs {
		if !found.Inspections[i].Sound() {
			o.printf("%s is not sound: see holdfast journal verify\n", dirs[i])
		}
	}
	if found.Same() {
		o.printf("the same: each publisher has the same records in the same order\n")
		return
	}
	o.printf("NOT THE SAME: %s with a difference\n", plural(len(found.Diffs), "publisher"))
}

// printLeftOut lists the records that were not compared.
func printLeftOut(o *output, found *journal.Comparison) {
	for _, p := range slices.Sorted(maps.Keys(found.Floors)) {
		o.printf("publisher %d: compared above %d only: retention has removed earlier records on one side or on both\n", p, found.Floors[p])
	}
	if found.Elsewhere > 0 {
		o.printf("%s left out: the link does not carry their topics\n", plural(found.Elsewhere, "record"))
	}
}

// printDiffering prints the first difference of each publisher in shown, the earliest first.
func printDiffering(o *output, dirs [2]string, differing int, shown []journal.PublisherDiff, records records) {
	for i, d := range shown {
		first := ""
		if i == 0 && differing > 1 {
			first = ", the earliest overall"
		}
		o.printf("publisher %d: first difference%s: %s\n", d.Publisher, first, describeDifference(d, dirs))
		for side, e := range d.Entries {
			if e.Sequence > 0 {
				o.printf("  in %s: %s\n", dirs[side], strings.TrimSpace(records[side][e.Position].String()))
			}
		}
		o.printf("  in total: %d only in %s, %d only in %s, %d with different content\n", d.OnlyIn[0], dirs[0], d.OnlyIn[1], dirs[1], d.ContentDiffers)
	}
	if more := differing - len(shown); more > 0 {
		o.printf("and %d more publishers (--all lists them)\n", more)
	}
}

// describeDifference describes a difference.
func describeDifference(d journal.PublisherDiff, dirs [2]string) string {
	a, b := d.Entries[0], d.Entries[1]
	switch {
	case d.First == journal.DiffContent:
		return fmt.Sprintf("%d has different content", a.Sequence)
	case d.First == journal.DiffOrder:
		return fmt.Sprintf("the order differs: %d in %s where %s has %d", a.Sequence, dirs[0], dirs[1], b.Sequence)
	case a.Sequence > 0:
		return fmt.Sprintf("%d is only in %s", a.Sequence, dirs[0])
	}
	return fmt.Sprintf("%d is only in %s", b.Sequence, dirs[1])
}

// records are selected records of two journals, by position.
type records [2]map[journal.Position]dumpedRecord

// readRecords reads the records of the differences once more, to print them.
func readRecords(dirs [2]string, differing []journal.PublisherDiff) (found records, err error) {
	if len(differing) == 0 {
		return found, nil
	}
	for side, dir := range dirs {
		found[side] = make(map[journal.Position]dumpedRecord)
		for _, d := range differing {
			if e := d.Entries[side]; e.Sequence > 0 {
				found[side][e.Position] = dumpedRecord{}
			}
		}
		_, err := inspectJournal(dir, func(r *journal.Record) error {
			if _, wanted := found[side][journal.Position(r.Position)]; wanted {
				found[side][journal.Position(r.Position)] = newDumpedRecord(r)
			}
			return nil
		})
		if err != nil {
			return found, err
		}
	}
	return found, nil
}
