package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// A history is what one place saw of the messages: for each network their
// keys in the order in which they stand there.
type history map[string][]string

func (h history) len() (n int) {
	for _, keys := range h {
		n += len(keys)
	}
	return n
}

// A verdict counts how a history differs from what was published.
type verdict struct{ present, lost, duplicated, disordered, foreign int }

// compare judges got against what was published.
func compare(published, got history) verdict {
	var v verdict
	for network, keys := range published {
		at := make(map[string]int, len(keys))
		for i, key := range keys {
			at[key] = i
		}
		seen := make(map[string]bool, len(keys))
		last := -1
		for _, key := range got[network] {
			i, known := at[key]
			switch {
			case !known:
				v.foreign++
			case seen[key]:
				v.duplicated++
			default:
				seen[key] = true
				if i < last {
					v.disordered++
				}
				last = max(last, i)
			}
		}
		v.present += len(seen)
		v.lost += len(keys) - len(seen)
	}
	for network, keys := range got {
		if _, known := published[network]; !known {
			v.foreign += len(keys)
		}
	}
	return v
}

// A report is the outcome of a run.
type report struct {
	published   history
	a, b        history // the journals
	delivered   history // what the subscriber's transactions hold
	handedOver  int     // times a message was handed to the subscriber
	gaps, apart []time.Duration
	faults      int
	wanted      int // faults that were to happen
}

// print writes the table and returns whether all is well.
func (r report) print(w io.Writer) bool {
	a, b, d := compare(r.published, r.a), compare(r.published, r.b), compare(r.published, r.delivered)
	lost := a.lost + b.lost + d.lost
	duplicated := a.duplicated + b.duplicated + d.duplicated
	disordered := a.disordered + b.disordered + d.disordered
	foreign := a.foreign + b.foreign + d.foreign
	row := func(name string, value any, note string) {
		fmt.Fprintf(w, "  %-16s %10v   %s\n", name, value, note)
	}
	fmt.Fprintln(w)
	row("published", r.published.len(), "accepted by a publish store")
	row("safe on A", a.present, "in A's journal, read after it stopped")
	row("safe on B", b.present, "in B's journal")
	row("delivered", d.present, "in the subscriber's database")
	row("redelivered", max(0, r.handedOver-r.delivered.len()), "handed over again after the subscriber died with them undiscarded: allowed")
	row("lost", lost, "")
	row("duplicated", duplicated, "")
	row("out of order", disordered, "")
	if foreign > 0 {
		row("never published", foreign, "")
	}
	row("failovers", fmt.Sprintf("%d of %d", r.faults, r.wanted), "faults that happened")
	row("gap p50, max", fmt.Sprintf("%v, %v", quantile(r.gaps, 0.5), quantile(r.gaps, 1)), "from the fault to the next acknowledged message")
	if len(r.apart) > 0 {
		row("gap both away", quantile(r.apart, 1), "of faults that did not wait for the pair to be in sync")
	}
	fmt.Fprintln(w, strings.Repeat("-", 72))
	return lost+duplicated+disordered+foreign == 0 && r.faults == r.wanted && r.published.len() > 0
}

// quantile returns the q-quantile of the durations, rounded for reading.
func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[int(q*float64(len(sorted)-1)+0.5)].Round(time.Millisecond)
}
