package replica

import (
	"cmp"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// Status returns the state of each link, ordered by peer.
func (l *Links) Status() []Status {
	now, states := l.now(), l.o.Journal.States()
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Status, 0, len(l.peers))
	for _, p := range l.peers {
		all = append(all, l.statusLocked(p, now, states))
	}
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.Peer, b.Peer) })
	return all
}

func (l *Links) statusLocked(p *peer, now time.Duration, states []journal.State) Status {
	s := Status{
		Peer: p.name, Sync: p.dest.Sync, Outbound: p.outbound(), Inbound: p.memory.inbound,
		OneWay: p.oneWay() || p.noWayBack(), Rivals: p.isRival(now), OtherCluster: p.isForeign(now), State: p.stateLocked(), Reason: p.reason, GivenUp: p.givenUp,
		Sent: p.sent, Received: p.received, Refused: p.refused, Diverged: p.diverged,
	}
	if p.outbound() {
		s.Unacknowledged = unacknowledged(states, p.progress.Acknowledged())
		s.OldestWaitMS = l.oldestWaitLocked(p, now).Milliseconds()
		s.Downgrades = p.ack.Downgrades()
	}
	if p.dest.Sync {
		s.Ack = "counting"
		if p.ack.Downgraded() {
			s.Ack = "downgraded"
		}
	}
	return s
}

// unacknowledged counts the sequences that a journal has above its floors and
// a destination's vector does not cover.
func unacknowledged(states []journal.State, acked bookmark.Vector) (n uint64) {
	for _, s := range states {
		if low := max(s.Floor, acked[s.Publisher]); s.Have > low {
			n += s.Have - low
		}
	}
	return n
}

// stateLocked returns down, catching-up, sync, or live of a link without sync acks.
func (p *peer) stateLocked() string {
	switch {
	case p.conn == nil:
		return "down"
	case p.outbound() && (!p.behind.met() || p.ack.Downgraded()):
		return "catching-up"
	case p.dest.Sync:
		return "sync"
	}
	return "live"
}
