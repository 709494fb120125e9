package replica

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// rivalShown is for how long the status shows that two processes run under one name,
// after the last sign of it: the one that is refused dials again every few seconds.
const rivalShown = time.Minute

// runsMost bounds the earlier processes of a peer that are known.
const runsMost = 8

// Processes are those that have been linked under a peer's name. Each has a random
// number. One that was replaced by another, and comes back while that one is linked,
// has not been restarted: two run at once.
type processes struct {
	run      uint64        // of the present or last connection
	replaced []uint64      // earlier ones
	rival    bool          // two ran at once
	rivalAt  time.Duration // the last sign of it
	strangeCluster
	metEmpty bool // the last one had neither records nor a cluster id
	stopSaid
	skew Skew // of its wall clock
}

// linked notes that a process is linked.
func (p *processes) linked(run uint64) {
	if p.run != 0 && p.run != run {
		p.replaced = append(p.replaced, p.run)
		p.replaced = p.replaced[max(0, len(p.replaced)-runsMost):]
	}
	p.replaced = slices.DeleteFunc(p.replaced, func(r uint64) bool { return r == run })
	p.run = run
}

// comesBack reports whether a process was replaced by the one that is linked, and
// whether that is news.
func (p *processes) comesBack(now time.Duration, run uint64) (back, news bool) {
	if !slices.Contains(p.replaced, run) || mut.On(mut.R2RivalsTakeTurns) {
		return false, false
	}
	news = !p.isRival(now)
	p.rival, p.rivalAt = true, now
	return true, news
}

func (p *processes) isRival(now time.Duration) bool { return p.rival && now-p.rivalAt < rivalShown }
