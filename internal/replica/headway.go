package replica

import (
	"sync/atomic"
	"time"
)

// A headway is the progress of both directions of a connection, as of the last heartbeats. It is
// guarded by Links.mu, except tellsNow.
type headway struct {
	sending, receiving pace
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
	defer c.l.mu.Unlock()
	c.there, c.heard, c.heardAt = b.state, true, now
	c.receiving.add(now, b.unsent, c.peer.received.Load())
}

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

// paceSamples is the number of heartbeats over which a pace is measured.
const paceSamples = 20

// A pace measures how fast a number of remaining records falls.
type pace struct {
	samples [paceSamples]paceSample // a ring
	n       int                     // samples so far
}

type paceSample struct {
	at               time.Duration
	remaining, moved uint64
}

// add adds a sample: the remaining records, and the number of those moved so far.
func (p *pace) add(now time.Duration, remaining, moved uint64) {
	p.samples[p.n%paceSamples] = paceSample{now, remaining, moved}
	p.n++
}

// Headway is the progress of one direction of a link.
type Headway struct {
	Remaining uint64 `json:"remaining"` // records that the sender has not sent yet, about
	Rate      uint64 `json:"rate"`      // records per second, over the last heartbeats
	LeftMS    int64  `json:"left_ms"`   // until nothing remains; -1: it cannot be told, because the rest does not shrink
}

// headway returns the progress at the last sample.
func (p *pace) headway() (h Headway) {
	if p.n == 0 {
		return h
	}
	last, first := p.samples[(p.n-1)%paceSamples], p.samples[max(0, p.n-paceSamples)%paceSamples]
	h.Remaining = last.remaining
	took := (last.at - first.at).Seconds()
	if took > 0 {
		h.Rate = uint64(float64(last.moved-first.moved)/took + 0.5)
	}
	switch {
	case h.Remaining == 0:
	case took > 0 && first.remaining > last.remaining:
		h.LeftMS = int64(1000 * took * float64(last.remaining) / float64(first.remaining-last.remaining))
	default:
		h.LeftMS = -1
	}
	return h
}
