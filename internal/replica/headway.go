package replica

import (
	"sync/atomic"
	"time"
)

// A headway is the progress of both directions of a connection, as of the last heartbeats. It is
// guarded by Links.mu, except tellsNow.
type headway struct {
	sending, receiving meter
	there              halfState     // of the peer's half
	heard              bool          // a heartbeat has arrived
	heardAt            time.Duration // when the last one arrived
	tellsNow           atomic.Bool   // a heartbeat is due at once
}

// unsent returns about how many records of the journal the peer has not been sent. Records that
// the peer has, and that the cursor has yet to skip, count.
func (s *sender) unsent() uint64 {
	if s.follower == nil {
		return 0
	}
	n := s.c.l.o.Journal.Lag(s.follower.Position()).Records + uint64(len(s.markers))
	if s.recordPending {
		n++
	}
	return n
}

// tellProgressLocked completes a heartbeat with the state of our half, and notes its progress.
func (c *conn) tellProgressLocked(b *heartbeat) {
	if b.state = halfUnknown; c.ours.Outbound {
		b.state = c.peer.halfStateLocked()
	}
	c.sending.add(c.l.now(), b.unsent, c.peer.sent.Load())
}

// noteProgress notes the progress of the peer's half from its heartbeat.
func (c *conn) noteProgress(b *heartbeat) {
	now := c.l.now()
	c.l.mu.Lock()
	caughtUp := c.heard && !c.there.whole() && b.state.whole()
	c.there, c.heard, c.heardAt = b.state, true, now
	c.receiving.add(now, b.unsent, c.peer.received.Load())
	if caughtUp {
		c.l.emitLocked(EventCatchUpDone, "", "this instance has caught up with "+c.peer.name)
	}
	c.l.unlockAndNotify()
}

// whole reports whether the receiver has everything that the sender had when they linked.
func (s halfState) whole() bool { return s == halfSync || s == halfLive }

// halfStateLocked returns the state of our half of the link to a destination that is connected.
func (p *peer) halfStateLocked() halfState {
	switch {
	case p.ack.Downgraded():
		return halfLeftOut
	case len(p.backlog) > 0:
		return halfCatchingUp
	case p.dest.Sync:
		return halfSync
	}
	return halfLive
}

// tellStateLocked has the state of our half told to the peer at once.
func (p *peer) tellStateLocked() {
	if p.conn != nil {
		p.conn.tellsNow.Store(true)
		p.conn.out.Wake()
	}
}

// meterSamples is the number of heartbeats over which it is measured.
const meterSamples = 20

// A meter measures how fast a number of remaining records falls.
type meter struct {
	samples [meterSamples]meterSample // a ring
	n       int                       // samples so far
}

type meterSample struct {
	at               time.Duration
	remaining, moved uint64
}

// add adds a sample: the remaining records, and the number of those moved so far.
func (m *meter) add(now time.Duration, remaining, moved uint64) {
	m.samples[m.n%meterSamples] = meterSample{now, remaining, moved}
	m.n++
}

// A Headway is the progress of one direction of a link.
type Headway struct {
	Remaining uint64 `json:"remaining"` // records that the sender has not sent yet, about
	Rate      uint64 `json:"rate"`      // records per second, over the last heartbeats
	LeftMS    int64  `json:"left_ms"`   // until nothing remains; -1: it cannot be told, because the rest does not shrink
}

// headway returns the progress at the last sample.
func (m *meter) headway() (h Headway) {
	if m.n == 0 {
		return h
	}
	last, first := m.samples[(m.n-1)%meterSamples], m.samples[max(0, m.n-meterSamples)%meterSamples]
	if took := (last.at - first.at).Seconds(); took > 0 {
		h.Rate = uint64(float64(last.moved-first.moved)/took + 0.5)
	}
	if h.Remaining = last.remaining; h.Remaining == 0 {
		return h
	}
	for i := max(0, m.n-meterSamples); i < m.n; i++ { // from where the rest began to shrink
		if s := m.samples[i%meterSamples]; s.remaining >= first.remaining {
			first = s
		}
	}
	h.LeftMS = -1
	if took := last.at - first.at; first.remaining > last.remaining && took > 0 {
		left := took.Seconds() * float64(last.remaining) / float64(first.remaining-last.remaining)
		h.LeftMS = int64(1000 * min(left, maxLeft.Seconds()))
	}
	return h
}

// maxLeft is the longest time that a meter states.
const maxLeft = 365 * 24 * time.Hour
