package failover

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/checker"
)

// A report is the outcome of a run.
type report struct {
	published         checker.Keys
	a, b              checker.Keys // the journals
	delivered         checker.Keys // the keys in the subscriber's database
	handedOver        int          // times a message was handed to the subscriber
	gaps, hurriedGaps []time.Duration
	faults            int
	plannedFaults     int      // faults that were to happen
	dropped           []uint64 // log lines that were dropped, by each server's last process
	deadReader        bool     // the reader of the log is
}

// print writes the table and returns whether all is well.
func (r report) print(w io.Writer) bool {
	a, b, d := checker.Compare(r.published, r.a), checker.Compare(r.published, r.b), checker.Compare(r.published, r.delivered)
	all := checker.Compare(r.published, r.a, r.b, r.delivered)
	row := func(name string, value any, note string) {
		fmt.Fprintf(w, "  %-16s %10v   %s\n", name, value, note)
	}
	fmt.Fprintln(w)
	row("published", r.published.Len(), "accepted by a publish store")
	row("safe on A", a.Present, "in A's journal, read after it stopped")
	row("safe on B", b.Present, "in B's journal")
	row("delivered", d.Present, "in the subscriber's database")
	row("redelivered", max(0, r.handedOver-r.delivered.Len()), "handed over again after the subscriber died with them undiscarded: allowed")
	row("lost", all.Lost, "")
	row("duplicated", all.Duplicated, "")
	row("out of order", all.Disordered, "")
	if all.Foreign > 0 {
		row("never published", all.Foreign, "")
	}
	row("failovers", fmt.Sprintf("%d of %d", r.faults, r.plannedFaults), "faults that happened")
	row("gap p50, max", fmt.Sprintf("%v, %v", checker.Quantile(r.gaps, 0.5), checker.Quantile(r.gaps, 1)), "from the fault to the next acknowledged message")
	if len(r.hurriedGaps) > 0 {
		row("gap both away", checker.Quantile(r.hurriedGaps, 1), "of faults that did not wait for the pair to be in sync")
	}
	row("dropped", fmt.Sprint(r.dropped), "lines of the servers' logs that nobody took, since each was started last")
	fmt.Fprintln(w, strings.Repeat("-", 72))
	return all.Clean() && r.faults == r.plannedFaults && r.published.Len() > 0 && r.deadReader == r.anyDropped()
}
