package servercore

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

const (
	fillBytes   = 256 << 10 // about as much is filled at once
	turnRecords = 512       // of one follower, before the others have their turn
	fillRecords = 2048      // of all followers, about as many are read at once
	never       = time.Hour // a time that does not matter
)

// output is the writer's half of a session: everything that goes to the client
// passes here, control frames, persisted acks, and the messages of
// subscriptions, which it reads from the ledger itself.
type output struct {
	out     []byte   // what Fill appends to
	box     outbox   // taken from the session, swapped with it
	charged int      // bytes of the output and of what feeds hold, in the session's account
	ackOuts []AckOut // scratch
	feeds            // of the subscriptions
	open    openStretch
	follows follows   // as the registry knows it
	rested  time.Time // when subscriptions are served again
	lastAck time.Time // when persisted acks were written
	held    bool      // persisted acks wait for their distance

	lastOutput time.Time
	heartbeat  time.Duration // interval, 0: none
}

// follows are the things that must wake a session.
type follows struct{ ledger, watermarks bool }

// feeds are how the subscriptions read the ledger. Those at its end share one
// follower and get one frame; the others have one each.
type feeds struct {
	shared     ledger.Follower   // nil: none is live
	table      topic.Table[*sub] // the live ones
	unfinished bool              // a live one has not completed its replay
	behind     []*sub
	spare      ledger.Follower // of those that are behind and at rest, for the next one's turn; nil: none
	read       int             // records, by those that are behind
	turn       []*sub          // scratch of deliver, as the fields below are of others
	record     ledger.Record
	match      []*sub
	ids        []byte
}

// subs yields all subscriptions.
func (f *feeds) subs(yield func(*sub) bool) {
	for b := range f.table.All {
		if !yield(b) {
			return
		}
	}
	for _, b := range f.behind {
		if !yield(b) {
			return
		}
	}
}

// Fill appends to b the output that is due, about fillBytes of it. more: Fill
// has more to append at once. ended: nothing is to be written after this.
func (s *Session) Fill(b []byte, now time.Time) (out []byte, more, ended bool) {
	w := &s.writer
	w.begin(b)
	due := s.takeDue(now)
	if due.state == StateDead {
		return b, false, true
	}
	more = s.writeOutbox(now)
	if !more && due.state != StateEnding {
		if due.status != "" {
			s.write(statusAck(due.status))
		}
		s.writeAcks(&due.acks)
		more = s.deliver(now)
		s.writeMarks(now)
		s.writeHeartbeat(now, len(b))
	}
	if len(w.out) > len(b) {
		w.lastOutput = now
	}
	out, w.out = w.out, nil
	s.holdsOutput(cap(out))
	return out, more, !more && due.state == StateEnding || s.drained()
}

// begin has what follows appended to b.
func (w *output) begin(b []byte) {
	w.out = b
	w.open.OpenStretch = wire.OpenStretch{}
}

// holdsOutput notes how much the writer's half holds, and ends a session that may not
// hold that.
func (s *Session) holdsOutput(bytes int) {
	w := &s.writer
	bytes += w.box.bytes + w.following()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.account.charge(&w.charged, bytes) {
		s.becomeLocked(StateDead, errMemory.Error())
	}
}

// FillAcks appends to b the persisted acks that are due if nothing else waits
// to be written. more: Fill has to look.
func (s *Session) FillAcks(b []byte, now time.Time) (out []byte, more bool) {
	w := &s.writer
	look := s.lookForAcks(now)
	s.mu.Lock()
	if !s.known || s.state != StateOpen || !s.box.empty() && !mut.On(mut.R14AckPassesFrames) {
		s.mu.Unlock()
		return b, true
	}
	acks := s.takeAcksLocked(&look)
	s.mu.Unlock()
	w.begin(b)
	s.writeAcks(&acks)
	if len(w.out) > len(b) {
		w.lastOutput = now
	}
	out, w.out = w.out, nil
	return out, w.held
}

// A due is the output besides messages and marks that is due: the frames in the
// writer's outbox, then a change of the status, then persisted acks.
type due struct {
	state  State
	status string // to tell the client; empty: none
	acks   acksDue
}

// takeDue takes the output that is due, in one step: no ack and no status goes to the
// client before a frame that was queued before it, which may be the logon ack or the
// failure of an earlier message (R14).
func (s *Session) takeDue(now time.Time) (d due) {
	w := &s.writer
	look, status := s.lookForAcks(now), s.inst.SyncStatus()
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.state = s.state; len(w.box.unlogged) > 0 {
		return d // the rest of the outbox comes first
	}
	w.box, s.box = s.box, w.box
	s.account.take(-w.box.size())
	if d.state < StateEnding {
		d.status = s.told.change(status, now)
		d.acks = s.takeAcksLocked(&look)
	}
	return d
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
	if s.rests(now) {
		next = min(next, s.writer.rested.Sub(now))
	}
	return max(min(next, s.untilMark(now), s.untilAck(now), s.tick()), 0)
}

// Release ends what the writer's half holds open. Fill must not be called again.
func (s *Session) Release() {
	closeFollower(&s.writer.shared)
	closeFollower(&s.writer.spare)
	for b := range s.writer.subs {
		s.inst.Registry.interested(s, b, false)
		closeFollower(&b.follower)
	}
	s.writer.behind = nil
	s.inst.Registry.follows(s, false, false)
}

// write appends an ack to the output.
func (s *Session) write(a *wire.AckMessage) { s.writer.out = a.AppendTo(s.writer.out) }

// writeOutbox writes the control frames that were taken, does the steps between
// them, and writes the live messages, as many as fit. more: not all did.
func (s *Session) writeOutbox(now time.Time) (more bool) {
	w := &s.writer
	box, written := &w.box, 0
	for _, step := range box.steps {
		w.out = append(w.out, box.control[written:step.at]...)
		written = step.at
		step.do(now)
	}
	w.out = append(w.out, box.control[written:]...)
	for i, m := range box.unlogged {
		if len(w.out) >= fillBytes && i > 0 && !mut.On(mut.DFillsAll) {
			box.keep(i)
			return true
		}
		s.deliverUnlogged(m)
	}
	box.reset()
	return false
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
