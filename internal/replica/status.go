package replica

import (
	"cmp"
	"slices"
	"time"
)

// Status returns the state of each link, ordered by peer.
func (l *Links) Status() []Status {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Status, 0, len(l.peers))
	for _, p := range l.peers {
		all = append(all, p.statusLocked(now))
	}
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.Peer, b.Peer) })
	return all
}

func (p *peer) statusLocked(now time.Duration) Status {
	s := Status{
		Peer: p.name, Sync: p.dest.Sync, Outbound: p.outbound(), Inbound: p.inbound,
		State: p.stateLocked(), Reason: p.reason, GivenUp: p.givenUp,
		Sent: p.sent, Received: p.received, Refused: p.refused, Diverged: p.diverged,
	}
	if p.outbound() {
		s.OldestWaitMS = p.progress.OldestWait(now).Milliseconds()
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
