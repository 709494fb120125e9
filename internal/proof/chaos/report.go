//go:build linux

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/checker"
)

// An outcome is the effect of one fault on the clients: the longest time that one of them
// went without acks or messages.
type outcome struct {
	kind                   string
	synced                 bool          // watched until the pair was in sync again
	stall                  time.Duration // the longest that the machine itself stood still
	acks, safe, deliveries time.Duration
}

// stallThreshold is from when on a fault's times are not its own, but the machine's.
const stallThreshold = time.Second

// print writes the table of faults by kind.
func (r *run) print(w io.Writer) {
	fmt.Fprintf(w, "\nseed %d, %v; the longest that a publisher went without a persisted ack (on one disk or both)\n"+
		"and without a safe one (on both), and a subscriber without a message, from the fault until all are served\n"+
		"and the pair in sync; the safe ones of faults whose next did not come before\n\n", r.Seed, time.Since(r.start).Round(time.Second))
	printOutcomes(w, r.outcomes)
	printStill(w, r.outcomes)
	fmt.Fprintf(w, "\n  %d faults, among them %d times kill -9 of a process and %d partitions; skipped kinds: %s\n",
		len(r.outcomes), r.kills, r.partitions(), textOr(strings.Join(r.skipped, ", "), "none"))
}

// printStill says which times were left out.
func printStill(w io.Writer, outcomes []outcome) {
	n, longest := 0, time.Duration(0)
	for _, o := range outcomes {
		if o.stall >= stallThreshold {
			n, longest = n+1, max(longest, o.stall)
		}
	}
	if n > 0 {
		fmt.Fprintf(w, "  the times of %d faults are left out: the machine itself stood still, for up to %v\n", n, short(longest))
	}
}

// partitions returns how many of the faults were partitions.
func (r *run) partitions() (n int) {
	for _, o := range r.outcomes {
		if kindOf(o.kind).group == groupPartitions {
			n++
		}
	}
	return n
}

func textOr(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func printOutcomes(w io.Writer, outcomes []outcome) {
	fmt.Fprintf(w, "  %-16s %6s   %23s   %23s   %23s\n", "", "", "persisted ack", "safe ack", "delivery")
	fmt.Fprintf(w, "  %-16s %6s  %s\n", "fault", "count", strings.Repeat(fmt.Sprintf(" %7s %7s %7s  ", "p50", "p99", "max"), 3))
	row := func(name string, list []outcome) {
		if len(list) == 0 {
			return
		}
		fmt.Fprintf(w, "  %-16s %6d", name, len(list))
		for _, of := range []func(outcome) (time.Duration, bool){
			func(o outcome) (time.Duration, bool) { return o.acks, true },
			func(o outcome) (time.Duration, bool) { return o.safe, o.synced },
			func(o outcome) (time.Duration, bool) { return o.deliveries, true },
		} {
			fmt.Fprintf(w, "   %s", quantiles(list, of))
		}
		fmt.Fprintln(w)
	}
	for _, k := range faultKinds {
		row(k.name, slices.DeleteFunc(slices.Clone(outcomes), func(o outcome) bool { return o.kind != k.name }))
	}
	row("all", outcomes)
}

// quantiles returns the p50, p99 and maximum of those that count.
func quantiles(list []outcome, of func(outcome) (d time.Duration, counts bool)) string {
	var all []time.Duration
	for _, o := range list {
		if d, counts := of(o); counts && o.stall < stallThreshold {
			all = append(all, d)
		}
	}
	if len(all) == 0 {
		return fmt.Sprintf("%7s %7s %7s", "-", "-", "-")
	}
	return fmt.Sprintf("%7v %7v %7v", checker.Quantile(all, 0.5), checker.Quantile(all, 0.99), checker.Quantile(all, 1))
}

// maxShown is how many violations are printed in full.
const maxShown = 20

// print writes the result of the checker and returns whether all is well.
func (f finding) print(w io.Writer) bool {
	t := checker.Count(f.found)
	for _, v := range f.found[:min(maxShown, len(f.found))] {
		fmt.Fprintln(w, "  VIOLATION", v)
	}
	if n := len(f.found) - maxShown; n > 0 {
		fmt.Fprintf(w, "  and %d more\n", n)
	}
	fmt.Fprintf(w, "  accepted by the publish stores  %8d   and %d more in doubt: their publisher was killed\n", f.accepted, f.doubtful)
	fmt.Fprintf(w, "  acknowledged as safe            %8d\n", f.safe)
	for _, host := range slices.Sorted(maps.Keys(f.stored)) {
		fmt.Fprintf(w, "  in the journal of %-13s %8d\n", host, f.stored[host])
	}
	for _, host := range slices.Sorted(maps.Keys(f.delivered)) {
		fmt.Fprintf(w, "  delivered to subscriber %-7s %8d\n", host, f.delivered[host])
	}
	same := "both journals identical per publisher"
	if t[checker.Diverged] > 0 {
		same = fmt.Sprintf("the journals differ in %d messages", t[checker.Diverged])
	}
	fmt.Fprintf(w, "  lost %d, duplicated %d, out of order %d; %s; %d violations\n", t[checker.Lost], t[checker.Duplicated], t[checker.Disordered], same, len(f.found))
	fmt.Fprintln(w, strings.Repeat("-", 80))
	return len(f.found) == 0 && f.accepted > 0 && f.safe >= f.accepted
}
