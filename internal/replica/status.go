package replica

import (
	"maps"
	"slices"
	"time"
)

// Status returns the state of each link, ordered by peer.
func (l *Links) Status() []Status {
	now, unacknowledged := l.now(), l.census().unacknowledged
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Status, 0, len(l.peers))
	for _, name := range slices.Sorted(maps.Keys(l.peers)) {
		p := l.peers[name]
		all = append(all, l.statusLocked(p, now, unacknowledged[p]))
	}
	return all
}

func (l *Links) statusLocked(p *peer, now time.Duration, unacknowledged uint64) Status {
	s := Status{
		Peer: p.name, Sync: p.dest.Sync, Outbound: p.outbound(), Inbound: p.role.inbound,
		OneWay: p.oneWay() || p.notReplicatedBack(), Rivals: p.rival.isShown(now), OtherCluster: p.foreign.isShown(now), State: p.stateLocked(), Reason: p.reason, GivenUp: p.givenUp,
		Sent: p.sent.Load(), Received: p.received.Load(), Refused: p.refused.Load(), Diverged: p.diverged,
		ClockSkewMS: p.skew.Estimate().Milliseconds(), ClocksDisagree: p.skew.Disagree(),
	}
	if p.conn == nil && p.phase != phaseRunning {
		s.Reason = "the peer has stopped; " + s.Reason
	}
	if p.outbound() {
		s.Unacknowledged = unacknowledged
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

// stateLocked returns down, catching-up or sync, or live for a link without sync acks.
func (p *peer) stateLocked() string {
	switch {
	case p.conn == nil:
		return "down"
	case p.outbound() && (len(p.backlog) > 0 || p.ack.Downgraded()):
		return "catching-up"
	case p.dest.Sync:
		return "sync"
	}
	return "live"
}
