package servercore

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

const (
	fillBytes   = 256 << 10 // about as much is filled at once
	turnRecords = 512       // of one follower, before the others have their turn
	never       = time.Hour // a time that does not matter
)

// output is the writer's half of a session: everything that goes to the client
// passes here, control frames, persisted acks, and the messages of
// subscriptions, which it reads from the ledger itself.
type output struct {
	out     []byte    // what Fill appends to
	box     outbox    // taken from the session, swapped with it
	ackOuts []AckOut  // scratch
	feeds             // of the subscriptions
	lastAck time.Time // when persisted acks were written
	held    bool      // persisted acks wait for their distance

	status     syncstatus.Status // that the client knows; Unknown: look again
	lastOutput time.Time
	heartbeat  time.Duration // interval, 0: none
}

// feeds are how the subscriptions read the ledger. Those at its end share one
// follower and get one frame; the others have one each.
type feeds struct {
	shared     ledger.Follower   // nil: none is live
	table      topic.Table[*sub] // the live ones
	unfinished bool              // a live one has not completed its replay
	behind     []*sub
	turn       []*sub // scratch of deliver, as the fields below are of others
	record     ledger.Record
	match      []*sub
	ids        []byte
}

// Fill appends to b the output that is due, about fillBytes of it. more: Fill
// has more to append at once. ended: nothing is to be written after this.
func (s *Session) Fill(b []byte, now time.Time) (out []byte, more, ended bool) {
	w := &s.writer
	w.out = b
	state := s.emptyOutbox(now)
	if state == StateDead {
		return b, false, true
	}
	if state != StateEnding {
		s.writeStatus(now)
		s.writeAcks(now)
		more = s.deliver(now)
		s.writeMarks(now)
		s.writeHeartbeat(now, len(b))
	}
	if len(w.out) > len(b) {
		w.lastOutput = now
	}
	out, w.out = w.out, nil
	return out, more, state == StateEnding || s.drained()
}

// FillAcks appends to b the persisted acks that are due if nothing else waits
// to be written. more: Fill has to look.
func (s *Session) FillAcks(b []byte, now time.Time) (out []byte, more bool) {
	if !s.quiet() {
		return b, true
	}
	w := &s.writer
	w.out = b
	s.writeAcks(now)
	if len(w.out) > len(b) {
		w.lastOutput = now
	}
	out, w.out = w.out, nil
	return out, w.held
}

// quiet reports whether the session is open and nothing is queued for the writer.
func (s *Session) quiet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known && s.state == StateOpen && s.box.empty()
}

// Next returns after how long Fill is to be called if nothing happens.
func (s *Session) Next(now time.Time) time.Duration {
	next := never
	if s.writer.heartbeat > 0 {
		next = s.writer.heartbeat - now.Sub(s.writer.lastOutput)
	}
	s.mu.Lock()
	next = min(next, s.told.until(now))
	s.mu.Unlock()
	return max(min(next, s.untilMark(now), s.untilAck(now)), 0)
}

// Release ends what the writer's half holds open. Fill must not be called again.
func (s *Session) Release() {
	s.stopShared()
	for _, b := range s.writer.behind {
		b.stop()
	}
	s.writer.behind = nil
	s.inst.Registry.follows(s, false, false)
}

// write appends an ack to the output.
func (s *Session) write(a *wire.AckMessage) { s.writer.out = a.AppendTo(s.writer.out) }

// emptyOutbox writes the queued control frames, does the steps between them and
// writes the queued live messages.
func (s *Session) emptyOutbox(now time.Time) State {
	w := &s.writer
	s.mu.Lock()
	w.box, s.box = s.box, w.box
	state := s.state
	s.mu.Unlock()

	box, written := &w.box, 0
	for _, step := range box.steps {
		w.out = append(w.out, box.control[written:step.at]...)
		written = step.at
		step.do(now)
	}
	w.out = append(w.out, box.control[written:]...)
	for _, m := range box.unlogged {
		s.deliverUnlogged(m)
	}
	box.reset()
	return state
}

// writeHeartbeat says that the instance lives if nothing else does; had is the
// output there was before.
func (s *Session) writeHeartbeat(now time.Time, had int) {
	w := &s.writer
	if w.heartbeat > 0 && len(w.out) == had && now.Sub(w.lastOutput) >= w.heartbeat {
		w.out = (&wire.HeartbeatCommand{}).AppendTo(w.out)
	}
}

// drained reports whether the session drains and nothing is owed to the client
// any more.
func (s *Session) drained() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == StateDraining && !s.acks.Outstanding() && s.pending.empty() && len(s.box.control) == 0
}
