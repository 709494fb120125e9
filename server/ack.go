package server

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A pendingAck is a persisted ack that was asked for a publish without a
// sequence: it is due when sequence, which the instance counted, is settled.
type pendingAck struct {
	sequence uint64
	id       string
}

// A pendingFlush is a flush that waits until what came before it is settled.
type pendingFlush struct {
	id          string
	sequence    uint64 // of the publisher
	unsequenced uint64 // of what came without a sequence
}

// watermarks are how far the two publishers of a session are.
type watermarks struct {
	safe, settled                uint64
	unsequencedSafe, unsequenced uint64
	tombs                        []journal.Tombstoned // that may not have been told
}

// maxPending bounds the acks that one session may wait for one by one.
const maxPending = 1 << 17

// acks sends the persisted acks that are due.
func (p *pump) acks() {
	s := p.s
	s.mu.Lock()
	failed, received := s.acks.Failed, s.acks.Received
	unsequenced := len(s.single) > 0 || len(s.flushes) > 0
	owes := s.acks.Outstanding() || s.acks.Again || s.acks.Safe < received || unsequenced
	urgent := len(s.flushes) > 0 || s.state != sessionOpen
	s.mu.Unlock()
	if !owes {
		return
	}
	var w watermarks
	links := s.srv.links.Load()
	if s.canSequence {
		w.safe, w.settled = links.Watermarks(s.claim.Publisher)
		w.tombs = s.srv.journal.Tombstones(s.claim.Publisher, failed)
	}
	if unsequenced {
		w.unsequencedSafe, w.unsequenced = links.Watermarks(s.unsequenced)
	}
	p.held = !urgent && len(w.tombs) == 0 && time.Since(p.lastAck) < s.conflation
	if p.held {
		return // the client asked for a least distance
	}
	if p.sendAcks(w) {
		p.lastAck = time.Now()
	}
}

// sendAcks sends what the watermarks allow and reports whether that was anything.
func (p *pump) sendAcks(w watermarks) bool {
	s := p.s
	s.mu.Lock()
	var out []servercore.AckOut
	if s.canSequence {
		out = s.acks.Next(p.ackOuts, w.safe, w.settled, w.tombs)
		p.ackOuts = out
	}
	n := 0
	for n < len(s.single) && s.single[n].sequence <= w.unsequenced {
		n++
	}
	single := s.single[:n:n]
	s.single = s.single[n:]
	told := max(s.acks.Safe, s.acks.Single, s.acks.Failed)
	f := 0
	for f < len(s.flushes) && s.flushes[f].sequence <= max(told, w.settled) && s.flushes[f].unsequenced <= w.unsequenced {
		f++
	}
	flushed := s.flushes[:f:f]
	s.flushes = s.flushes[f:]
	s.mu.Unlock()

	for _, o := range out {
		p.persisted(o)
	}
	for _, a := range single {
		p.ack(&wire.AckMessage{
			CommandID: a.id, Type: wire.AckPersisted, Success: true,
			Single: s.ext && a.sequence > w.unsequencedSafe,
		})
	}
	for _, f := range flushed {
		p.ack(&wire.AckMessage{CommandID: f.id, Type: wire.AckPersisted, Success: true})
	}
	return len(out)+len(single)+len(flushed) > 0
}

// persisted sends one cumulative ack, or the failure of one message.
func (p *pump) persisted(o servercore.AckOut) {
	a := wire.AckMessage{Type: wire.AckPersisted, Sequence: o.Sequence, HasSequence: true, Success: !o.Failure, Reason: o.Reason, Single: o.Single}
	if !o.Failure {
		a.Mark = bookmark.Bookmark{Publisher: p.s.claim.Publisher, Sequence: o.Sequence}
	} else {
		p.s.srv.counts.refused.Add(1)
	}
	p.ack(&a)
}

// untilAck returns how long persisted acks that are held back must still wait
// to keep the distance that the client asked for.
func (p *pump) untilAck() time.Duration {
	if !p.held {
		return time.Hour
	}
	return p.s.conflation - time.Since(p.lastAck)
}
