package journal

import (
	"cmp"
	"maps"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// A Difference is the kind of a difference between two journals.
type Difference uint8

const (
	// DiffMissing: one journal has the record, the other lacks it.
	DiffMissing Difference = iota + 1
	// DiffContent: both have the identity, but different records of it.
	DiffContent
	// DiffOrder: both have the record, but the publisher's records are in another order.
	DiffOrder
)

// An Entry has the fields of a record that a comparison needs. The zero Entry means no record.
type Entry struct {
	Position  Position
	Time      int64
	Kind      Kind
	Publisher uint64
	Sequence  uint64
	Prev      uint64
	Sum       uint32 // CRC-32C of the bytes that go over a link, without the check
}

// A PublisherDiff is a publisher whose records differ between two journals.
type PublisherDiff struct {
	Publisher uint64
	// The first difference. Entries has the record of each journal at that point, zero for a
	// journal that lacks it.
	First   Difference
	Entries [2]Entry
	// The counts of all differences: records in only one journal, and identities whose
	// records differ.
	OnlyIn         [2]int
	ContentDiffers int
}

// earliestTime returns the time at which the first difference was written, 0 if it is unknown.
func (d *PublisherDiff) earliestTime() int64 {
	return max(0, min(cmp.Or(d.Entries[0].Time, d.Entries[1].Time), cmp.Or(d.Entries[1].Time, d.Entries[0].Time)))
}

// A Comparison is the result of Compare.
type Comparison struct {
	Inspections [2]Inspection
	Diffs       []PublisherDiff // the earliest difference first
	// Floors has the publishers that are compared in part only, because retention has
	// removed messages of them. Nothing is compared up to the floor.
	Floors map[uint64]uint64
	// Elsewhere counts the records of one journal for which the other has an elsewhere
	// marker: the link does not carry their topics (R3).
	Elsewhere int
}

// Same reports whether the journals are sound and hold the same records.
func (c *Comparison) Same() bool {
	return len(c.Diffs) == 0 && c.Inspections[0].Sound() && c.Inspections[1].Sound()
}

// An Index has the part of a journal that a comparison needs: 48 bytes of each record.
type Index struct {
	Inspection
	entries map[uint64][]Entry // of each publisher, in journal order
}

// ReadIndex inspects a journal that is not open and returns its index.
func ReadIndex(disk seglog.FS, dir string) (Index, error) {
	entries := make(map[uint64][]Entry)
	found, err := Inspect(disk, dir, func(r *Record) error {
		entries[r.Publisher] = append(entries[r.Publisher], entryOf(r))
		return nil
	})
	return Index{found, entries}, err
}

// Compare compares two journals (G5): the records of each publisher and their order. It does
// not count two things as differences: publishers that interleave differently, and records
// that retention has removed from one journal.
func Compare(a, b Index) Comparison {
	c := Comparison{Inspections: [2]Inspection{a.Inspection, b.Inspection}, Floors: make(map[uint64]uint64)}
	all := slices.AppendSeq(slices.Collect(maps.Keys(a.entries)), maps.Keys(b.entries))
	slices.Sort(all)
	for _, p := range slices.Compact(all) {
		c.comparePublisher(p, [2][]Entry{a.entries[p], b.entries[p]})
	}
	slices.SortStableFunc(c.Diffs, func(x, y PublisherDiff) int { return cmp.Compare(x.earliestTime(), y.earliestTime()) })
	return c
}

func entryOf(r *Record) Entry {
	return Entry{
		Position: Position(r.Position), Time: r.Time, Kind: r.Kind,
		Publisher: r.Publisher, Sequence: r.Sequence, Prev: r.Prev, Sum: record.SumWithoutCheck(r.Raw),
	}
}

// comparePublisher compares the records of one publisher.
func (c *Comparison) comparePublisher(p uint64, sides [2][]Entry) {
	floor := max(c.floor(0, p, sides[0]), c.floor(1, p, sides[1]))
	kept := [2][]Entry{entriesAbove(floor, sides[0]), entriesAbove(floor, sides[1])}
	if len(kept[0]) < len(sides[0]) || len(kept[1]) < len(sides[1]) {
		c.Floors[p] = floor
	}
	c.Elsewhere += dropElsewhere(&kept)
	if d := diffEntries(kept); d.First != 0 {
		d.Publisher = p
		c.Diffs = append(c.Diffs, d)
	}
}

// floor returns the sequence up to which a journal may lack the messages of a publisher.
func (c *Comparison) floor(side int, p uint64, entries []Entry) (floor uint64) {
	states := c.Inspections[side].States
	if at, found := slices.BinarySearchFunc(states, p, func(s PublisherState, p uint64) int { return cmp.Compare(s.Publisher, p) }); found {
		floor = states[at].Floor
	}
	for _, e := range entries {
		if e.Kind == Gone {
			floor = max(floor, e.Sequence)
		}
	}
	return floor
}

func entriesAbove(floor uint64, entries []Entry) []Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool { return e.Sequence <= floor })
}

// dropElsewhere removes from both sides the elsewhere markers, and the records for which the
// other side has such a marker. It returns the number of these records.
func dropElsewhere(sides *[2][]Entry) (n int) {
	var dropped [2]map[uint64]bool // sequences
	for i := range sides {
		dropped[i] = make(map[uint64]bool)
	}
	for i, side := range sides {
		other := slices.SortedFunc(slices.Values(sides[1-i]), bySequenceOrder)
		for _, m := range side {
			if m.Kind != Elsewhere {
				continue
			}
			at, _ := slices.BinarySearchFunc(other, Entry{Sequence: m.Prev + 1}, bySequenceOrder)
			for ; at < len(other) && other[at].Sequence <= m.Sequence; at++ {
				dropped[i][m.Sequence], dropped[1-i][other[at].Sequence] = true, true
			}
		}
	}
	for i := range sides {
		sides[i] = slices.DeleteFunc(sides[i], func(e Entry) bool {
			drop := dropped[i][e.Sequence]
			if drop && e.Kind != Elsewhere {
				n++
			}
			return drop
		})
	}
	return n
}

func bySequenceOrder(a, b Entry) int { return cmp.Compare(a.Sequence, b.Sequence) }

// diffEntries compares the remaining records of one publisher.
func diffEntries(sides [2][]Entry) PublisherDiff {
	var d PublisherDiff
	at, end := 0, min(len(sides[0]), len(sides[1]))
	for at < end && sameRecord(sides[0][at], sides[1][at]) {
		at++
	}
	if at == len(sides[0]) && at == len(sides[1]) {
		return d
	}
	rest := [2][]Entry{sides[0][at:], sides[1][at:]}
	known := [2]map[uint64]Entry{indexBySequence(rest[0]), indexBySequence(rest[1])}
	d.findFirst(rest, known)
	for i := range rest {
		for sequence, e := range known[i] {
			other, both := known[1-i][sequence]
			switch {
			case !both:
				d.OnlyIn[i]++
			case i == 0 && e.Sum != other.Sum:
				d.ContentDiffers++
			}
		}
	}
	return d
}

// sameRecord reports whether two journals have the same record.
func sameRecord(a, b Entry) bool { return a.Sequence == b.Sequence && a.Sum == b.Sum }

func indexBySequence(entries []Entry) map[uint64]Entry {
	m := make(map[uint64]Entry, len(entries))
	for _, e := range entries {
		m[e.Sequence] = e
	}
	return m
}

// findFirst sets the first difference, which is at the start of rest.
func (d *PublisherDiff) findFirst(rest [2][]Entry, known [2]map[uint64]Entry) {
	var heads [2]Entry // zero for a journal that has no more records
	for i := range rest {
		if len(rest[i]) > 0 {
			heads[i] = rest[i][0]
		}
	}
	onlyIn := func(i int) bool { // the other journal lacks the record at the head of this one
		_, both := known[1-i][heads[i].Sequence]
		return len(rest[i]) > 0 && !both
	}
	switch {
	case heads[0].Sequence == heads[1].Sequence:
		d.First, d.Entries = DiffContent, heads
	case onlyIn(0) && (!onlyIn(1) || heads[0].Sequence < heads[1].Sequence):
		d.First, d.Entries[0] = DiffMissing, heads[0]
	case onlyIn(1):
		d.First, d.Entries[1] = DiffMissing, heads[1]
	default:
		d.First, d.Entries = DiffOrder, heads
	}
}
