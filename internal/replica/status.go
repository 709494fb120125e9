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
		LinkCounts: LinkCounts{Sent: p.sent.Load(), Received: p.received.Load(), Refused: p.refused.Load(), Diverged: p.diverged},
		PeerClock:  PeerClock{p.skew.Estimate().Milliseconds(), p.skew.Disagree()},
	}
	if p.conn == nil && p.phase != phaseRunning {
		s.Reason = "the peer has stopped; " + s.Reason
	}
	p.addHeadwayLocked(&s, now)
	if p.outbound() {
		s.Unacknowledged = unacknowledged
		s.OldestWaitMS = l.oldestWaitLocked(p, now).Milliseconds()
		s.Downgrades = p.ack.Downgrades()
	}
	if p.dest.Sync {
		s.Ack = "counting"
		if p.ack.Downgraded() {
			s.Ack, s.LeftOut = "downgraded", p.ack.Held()
		}
	}
	return s
}

// addHeadwayLocked adds the progress of both directions.
func (p *peer) addHeadwayLocked(s *Status, now time.Duration) {
	s.InboundSync, s.HeardMS = p.role.sync, -1
	c := p.conn
	if c == nil {
		return
	}
	s.StateThere = c.there.String()
	if c.heard {
		s.HeardMS = (now - c.heardAt).Milliseconds()
	}
	if p.outbound() {
		h := c.sending.headway()
		s.Sending = &h
	}
	if p.role.inbound {
		h := c.receiving.headway()
		s.Receiving = &h
	}
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
