package servercore

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

const (
	fillBytes   = 256 << 10 // about this much output is produced by one Fill
	turnRecords = 512       // records read with one follower before the others have their turn
	fillRecords = 2048      // about this many records are read with all followers by one Fill
	never       = time.Hour // longer than any wait that matters
)

// writerState is the writer's half of a session. All output for the client passes through it:
// control frames, persisted acks, and the messages of subscriptions, which it reads from the ledger
// itself.
type writerState struct {
	out            []byte         // buffer of the current Fill
	box            outbox         // the session's outbox, swapped in by takeOutput
	charged        int            // memory of the output and of the followers, as charged to the session's account
	ackScratch     []PersistedAck // scratch
	feeds                         // of the subscriptions
	open           openStretch
	wakeups        wakeups   // as last set in the registry
	throttledUntil time.Time // when matching may continue
	lastAck        time.Time // when persisted acks were last written
	conflating     bool      // persisted acks wait for the client's conflation interval

	lastOutput time.Time
	heartbeat  time.Duration // interval, 0: none
}

// wakeups are the events that must wake a session.
type wakeups struct{ ledger, watermarks bool }

// feeds are the session's subscriptions and their followers. Live subscriptions, at the end of the
// log, share one follower and get one frame per message. Each of the others has its own follower.
type feeds struct {
	shared     ledger.Follower   // nil: no subscription is live
	table      topic.Table[*sub] // the live subscriptions
	unfinished bool              // a live subscription has not completed its replay
	behind     []*sub
	spare      ledger.Follower // left by a parked subscription, for the next one's turn; nil: none
	read       int             // records read by the subscriptions that are behind
	turn       []*sub          // scratch of deliver; the fields below are scratch of other methods
	record     ledger.Record
	match      []*sub
	ids        []byte
	readable   topicAnswers // of Permissions.Subscribe
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

// Fill appends to b the output that is due, about fillBytes of it. more reports that Fill must be
// called again at once. ended reports that nothing must be written after this output.
func (s *Session) Fill(b []byte, now time.Time) (out []byte, more, ended bool) {
	w := &s.writer
	w.begin(b)
	due := s.takeOutput(now)
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
	s.chargeOutput(cap(out))
	return out, more, !more && due.state == StateEnding || s.drained()
}

// begin directs the following output to b.
func (w *writerState) begin(b []byte) {
	w.out = b
	w.open.OpenStretch = wire.OpenStretch{}
}

// chargeOutput charges the memory of the writer's half, with bytes for the output buffer, to the
// session's account. It ends a session that exceeds its limit.
func (s *Session) chargeOutput(bytes int) {
	w := &s.writer
	bytes += w.box.unloggedBytes + w.followerMemory()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.account.charge(&w.charged, bytes) {
		s.becomeLocked(StateDead, errMemory.Error())
	}
}

// FillAcks appends to b the persisted acks that are due, if no other output waits. more reports
// that Fill must be called.
func (s *Session) FillAcks(b []byte, now time.Time) (out []byte, more bool) {
	w := &s.writer
	check := s.checkAcks(now)
	s.mu.Lock()
	if !s.loggedOn || s.state != StateOpen || !s.box.empty() && !failpoint.On(failpoint.R14AckPassesFrames) {
		s.mu.Unlock()
		return b, true
	}
	acks := s.takeAcksLocked(&check)
	s.mu.Unlock()
	w.begin(b)
	s.writeAcks(&acks)
	if len(w.out) > len(b) {
		w.lastOutput = now
	}
	out, w.out = w.out, nil
	return out, w.conflating
}

// dueOutput is the output that is due besides messages and marks, in this order: the frames in the
// writer's outbox, a change of the sync status, persisted acks.
type dueOutput struct {
	state  State
	status string // to tell the client; empty: no change
	acks   dueAcks
}

// takeOutput takes the output that is due, all under one lock. So neither an ack nor a status
// overtakes a frame that was queued earlier, which may be the logon ack or the failure of an
// earlier message (R14).
func (s *Session) takeOutput(now time.Time) (d dueOutput) {
	w := &s.writer
	check, status := s.checkAcks(now), s.inst.SyncStatus()
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.state = s.state; len(w.box.unlogged) > 0 {
		return d // the rest of the outbox comes first
	}
	w.box, s.box = s.box, w.box
	s.account.add(-w.box.size())
	if d.state < StateEnding {
		d.status = s.sentStatus.change(status, now)
		d.acks = s.takeAcksLocked(&check)
	}
	return d
}

// Next returns the time after which Fill must be called if the session is not woken before.
func (s *Session) Next(now time.Time) time.Duration {
	next := never
	if s.writer.heartbeat > 0 {
		next = s.writer.heartbeat - now.Sub(s.writer.lastOutput)
	}
	s.mu.Lock()
	next = min(next, s.sentStatus.wait(now))
	s.mu.Unlock()
	if s.isThrottled(now) {
		next = min(next, s.writer.throttledUntil.Sub(now))
	}
	return max(min(next, s.untilMark(now), s.untilAck(now), s.catchUpDelay()), 0)
}

// Release closes the resources of the writer's half. Fill must not be called again.
func (s *Session) Release() {
	closeFollower(&s.writer.shared)
	closeFollower(&s.writer.spare)
	for b := range s.writer.subs {
		s.inst.Registry.setInterest(s, b, false)
		closeFollower(&b.follower)
	}
	s.writer.behind = nil
	s.inst.Registry.setWakeups(s, false, false)
}

// write appends an ack to the output.
func (s *Session) write(a *wire.AckMessage) { s.writer.out = a.AppendTo(s.writer.out) }

// writeOutbox writes the control frames that were taken, runs the tasks between them, and writes as
// many unlogged messages as fit. more reports that some did not fit.
func (s *Session) writeOutbox(now time.Time) (more bool) {
	w := &s.writer
	box, written := &w.box, 0
	for _, step := range box.tasks {
		w.out = append(w.out, box.control[written:step.at]...)
		written = step.at
		step.do(now)
	}
	w.out = append(w.out, box.control[written:]...)
	for i, m := range box.unlogged {
		if len(w.out) >= fillBytes && i > 0 && !failpoint.On(failpoint.DFillsAll) {
			box.keepFrom(i)
			return true
		}
		s.deliverUnlogged(m)
	}
	box.reset()
	return false
}

// writeHeartbeat writes a heartbeat if it is due and this Fill has produced no other output. had is
// the length of the buffer before this Fill.
func (s *Session) writeHeartbeat(now time.Time, had int) {
	w := &s.writer
	if w.heartbeat > 0 && len(w.out) == had && now.Sub(w.lastOutput) >= w.heartbeat {
		w.out = (&wire.HeartbeatCommand{}).AppendTo(w.out)
	}
}

// drained reports whether the session is draining and owes the client nothing more.
func (s *Session) drained() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == StateDraining && !s.acks.Outstanding() && s.pending.empty() && len(s.box.control) == 0
}
