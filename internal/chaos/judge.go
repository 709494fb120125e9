//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/verdict"
)

// An outcome is what the clients noticed of one fault: the longest time that
// one of them went without an ack, or without a delivery.
type outcome struct {
	kind             string
	acks, deliveries time.Duration
}

// printOutcomes writes the table of faults by kind.
func printOutcomes(w io.Writer, outcomes []outcome) {
	fmt.Fprintf(w, "\n  %-16s %6s   %27s   %27s\n", "", "", "without a persisted ack", "without a delivery")
	fmt.Fprintf(w, "  %-16s %6s   %8s %8s %8s    %8s %8s %8s\n", "fault", "count", "p50", "p99", "max", "p50", "p99", "max")
	row := func(name string, match func(outcome) bool) {
		var acks, deliveries []time.Duration
		for _, o := range outcomes {
			if match(o) {
				acks, deliveries = append(acks, o.acks), append(deliveries, o.deliveries)
			}
		}
		if len(acks) == 0 {
			return
		}
		fmt.Fprintf(w, "  %-16s %6d   %8v %8v %8v    %8v %8v %8v\n", name, len(acks),
			verdict.Quantile(acks, 0.5), verdict.Quantile(acks, 0.99), verdict.Quantile(acks, 1),
			verdict.Quantile(deliveries, 0.5), verdict.Quantile(deliveries, 0.99), verdict.Quantile(deliveries, 1))
	}
	for _, k := range kinds {
		row(k.name, func(o outcome) bool { return o.kind == k.name })
	}
	row("all", func(outcome) bool { return true })
	fmt.Fprintln(w, "  of the publisher, or the subscriber, that had to wait longest, from the fault until all are served and the pair in sync")
}

// A finding is what the checker says of a run.
type finding struct {
	published, doubtful verdict.History
	places              []place
	journals            [2]chronicle
}

// A place is where messages were found.
type place struct {
	name string
	got  verdict.History
}

// A chronicle is what stands in a journal: for each publisher its records, without times and positions.
type chronicle map[string][]record

// judge judges a run by its directory: the history, the dumps of both
// journals, the databases of the subscribers.
func judge(dir string) (f finding, err error) {
	if err := f.readHistory(filepath.Join(dir, "history.jsonl")); err != nil {
		return f, err
	}
	for i, host := range []string{hostA, hostB} {
		got, records, err := readDump(filepath.Join(dir, "journal-"+host+".jsonl"))
		if err != nil {
			return f, err
		}
		f.places, f.journals[i] = append(f.places, place{"journal of " + host, got}), records
	}
	for _, host := range []string{hostX, hostY} {
		got := make(verdict.History)
		err := readReceived(filepath.Join(dir, "subscriber-"+host+".db"), func(publisher string, n uint64) error {
			got[publisher] = append(got[publisher], key(n))
			return nil
		})
		if err != nil {
			return f, err
		}
		f.places = append(f.places, place{"subscriber " + host, got})
	}
	return f, nil
}

func key(n uint64) string { return strconv.FormatUint(n, 10) }

// readHistory takes in what was published.
func (f *finding) readHistory(file string) error {
	f.published, f.doubtful = make(verdict.History), make(verdict.History)
	return readLines(file, func(w word) {
		switch w.What {
		case doubtful:
			f.doubtful[w.Client] = append(f.doubtful[w.Client], key(w.N))
			fallthrough
		case published:
			f.published[w.Client] = append(f.published[w.Client], key(w.N))
		}
	})
}

// dumpTo writes down what stands in the journal of an instance that has stopped.
func dumpTo(journal, file string) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	lines := json.NewEncoder(w)
	err = dumpJournal(journal, func(r record, body []byte) error {
		if r.Kind == frameMessage {
			var err error
			if r.Name, r.N, err = readBody(body); err != nil {
				return err
			}
		}
		return lines.Encode(r)
	})
	return errors.Join(err, w.Flush(), out.Close())
}

// readDump takes in what dumpTo wrote.
func readDump(file string) (verdict.History, chronicle, error) {
	got, records := make(verdict.History), make(chronicle)
	err := readLines(file, func(r record) {
		if r.Kind == frameMessage {
			got[r.Name] = append(got[r.Name], key(r.N))
		}
		records[r.Publisher] = append(records[r.Publisher], r)
	})
	return got, records, err
}

// readLines calls fn with each line of a file of JSON lines.
func readLines[T any](file string, fn func(T)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for d := json.NewDecoder(bufio.NewReader(f)); ; {
		var t T
		if err := d.Decode(&t); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		fn(t)
	}
}

// disordered counts the records that don't follow the one before them of
// their publisher: repeated, out of order, or behind a hole.
func (c chronicle) disordered() (n int) {
	for _, records := range c {
		last := uint64(0)
		for _, r := range records {
			if r.Sequence <= last || r.Prev != last {
				n++
			}
			last = max(last, r.Sequence)
		}
	}
	return n
}

// differing counts the publishers whose records are not the same in both journals.
func differing(a, b chronicle) (n int) {
	for publisher, records := range a {
		if !slices.Equal(records, b[publisher]) {
			n++
		}
	}
	for publisher := range b {
		if _, known := a[publisher]; !known {
			n++
		}
	}
	return n
}

// print writes the table and returns whether all is well.
func (f finding) print(w io.Writer) bool {
	var all verdict.Verdict
	fmt.Fprintf(w, "\n  %-16s %10s %10s %12s %14s %10s\n", "", "messages", "lost", "duplicated", "out of order", "foreign")
	row := func(name string, v verdict.Verdict) {
		fmt.Fprintf(w, "  %-16s %10d %10d %12d %14d %10d\n", name, v.Present, v.Lost, v.Duplicated, v.Disordered, v.Foreign)
	}
	for _, p := range f.places {
		v := verdict.Compare(f.published, f.doubtful, p.got)
		row(p.name, v)
		all = all.Plus(v)
	}
	published, doubtful := f.published.Len(), f.doubtful.Len()
	fmt.Fprintf(w, "  %d accepted by the publish stores of %d publishers; %d more in doubt, whose publisher was killed over them\n",
		published-doubtful, len(f.published), doubtful)
	holes, differ := f.journals[0].disordered()+f.journals[1].disordered(), differing(f.journals[0], f.journals[1])
	fmt.Fprintf(w, "  journals: %d records that do not follow their predecessor, %d of %d publishers differ\n",
		holes, differ, max(len(f.journals[0]), len(f.journals[1])))
	fmt.Fprintf(w, "  lost %d, duplicated %d, out of order %d\n", all.Lost, all.Duplicated, all.Disordered)
	fmt.Fprintln(w, strings.Repeat("-", 80))
	return all.Clean() && holes == 0 && differ == 0 && published > doubtful
}
