package replica

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// observationShown is how long the status shows an observation. The instance that causes it dials
// again every few seconds.
const observationShown = time.Minute

// An observation is a fault that was observed at a peer.
type observation struct {
	recorded bool
	at       time.Duration // the last time
}

// record records the observation and reports whether it was not shown before.
func (o *observation) record(now time.Duration) (first bool) {
	first = !o.isShown(now)
	*o = observation{true, now}
	return first
}

func (o *observation) isShown(now time.Duration) bool {
	return o.recorded && now-o.at < observationShown
}

// maxReplaced bounds the number of remembered earlier processes of a peer.
const maxReplaced = 8

// processes are the processes that have been linked under a peer's name. Each has a random number.
// If a process was replaced by another and comes back while that one is linked, it was not
// restarted: two processes run at once.
type processes struct {
	run      uint64      // of the present or last connection
	replaced []uint64    // earlier processes
	rival    observation // two processes ran at once
	foreign  observation // an instance of another cluster has used the name
	metEmpty bool        // the last process had neither records nor a cluster id
	stopReport
	skew Skew // of the peer's wall clock
}

// noteRun records that a process is linked.
func (p *processes) noteRun(run uint64) {
	if p.run != 0 && p.run != run {
		p.replaced = append(p.replaced, p.run)
		p.replaced = p.replaced[max(0, len(p.replaced)-maxReplaced):]
	}
	p.replaced = slices.DeleteFunc(p.replaced, func(r uint64) bool { return r == run })
	p.run = run
}

// noteReplaced reports whether a process was replaced by the one that is linked now, and whether
// that was not shown before.
func (p *processes) noteReplaced(now time.Duration, run uint64) (replaced, first bool) {
	if !slices.Contains(p.replaced, run) || failpoint.On(failpoint.R2RivalsTakeTurns) {
		return false, false
	}
	return true, p.rival.record(now)
}
