package replica

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// signShown is for how long the status shows a sign: who gives one dials again every few
// seconds.
const signShown = time.Minute

// A sign of something that is wrong with a peer.
type sign struct {
	given bool
	at    time.Duration // last
}

// give gives the sign again, and reports whether that is news.
func (s *sign) give(now time.Duration) (news bool) {
	news = !s.isShown(now)
	*s = sign{true, now}
	return news
}

func (s *sign) isShown(now time.Duration) bool { return s.given && now-s.at < signShown }

// runsMost bounds the earlier processes of a peer that are known.
const runsMost = 8

// Processes are those that have been linked under a peer's name. Each has a random
// number. One that was replaced by another, and comes back while that one is linked,
// has not been restarted: two run at once.
type processes struct {
	run      uint64   // of the present or last connection
	replaced []uint64 // earlier ones
	rival    sign     // two ran at once
	foreign  sign     // an instance of another cluster was met under the name
	metEmpty bool     // the last one had neither records nor a cluster id
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
	return true, p.rival.give(now)
}
