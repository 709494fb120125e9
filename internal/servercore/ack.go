package servercore

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// pendingAcks are the acks that commands have requested and that are not due yet: of flushes, and
// of publishes without a sequence, which the instance numbers. Both lists are in order.
type pendingAcks struct {
	publishes, flushes []pendingAck
	last               uint64 // highest number given to a publish without a sequence
}

// A pendingAck is due once both of its numbers are settled.
type pendingAck struct {
	id          string // of the command
	sequence    uint64 // of the sequenced publisher; 0: does not wait for it
	unsequenced uint64 // of the publisher of messages without a sequence
}

// size returns the memory of the ack in bytes.
func (a pendingAck) size() int { return pendingBytes + len(a.id) }

// publish adds a publish without a sequence, and its ack if wanted. It returns the memory of the
// ack in bytes.
func (p *pendingAcks) publish(sequence uint64, id string, wanted bool) int {
	p.last = sequence
	if !wanted {
		return 0
	}
	a := pendingAck{id: id, unsequenced: sequence}
	p.publishes = append(p.publishes, a)
	return a.size()
}

// flush adds a flush that follows the publish with the given sequence. It returns the memory of the
// ack in bytes.
func (p *pendingAcks) flush(id string, sequence uint64) int {
	a := pendingAck{id, sequence, p.last}
	p.flushes = append(p.flushes, a)
	return a.size()
}

// empty reports whether no ack is pending.
func (p *pendingAcks) empty() bool { return len(p.publishes)+len(p.flushes) == 0 }

// takeDueAcks removes the acks that are due from a list and returns them with their memory in
// bytes. settled is the settled watermark of the sequenced publisher, unsequenced that of the other
// one.
func takeDueAcks(list *[]pendingAck, settled, unsequenced uint64) (due []pendingAck, bytes int) {
	for _, a := range *list {
		if a.sequence > settled || a.unsequenced > unsequenced {
			break
		}
		due, bytes = (*list)[:len(due)+1], bytes+a.size()
	}
	*list = (*list)[len(due):]
	return slices.Clip(due), bytes
}

// An ackCheck holds the watermarks of the session's two publishers, and whether persisted acks may
// be due. By the time it is used, the real watermarks may have moved, even down. An ack up to the
// old ones stays true.
type ackCheck struct {
	now                                 time.Time
	mayBeDue                            bool
	safe, settled                       uint64
	unsequencedSafe, unsequencedSettled uint64           // of messages without a sequence
	tombs                               []ledger.Refusal // tombstones that the client may not know yet
}

// dueAcks holds the persisted acks to write.
type dueAcks struct {
	acks            []PersistedAck // to the sequenced publisher
	publishes       []pendingAck
	flushes         []pendingAck
	unsequencedSafe uint64
}

// checkAcks checks whether persisted acks may be due. It queries the ledger, so it runs without
// the session's lock.
func (s *Session) checkAcks(now time.Time) (check ackCheck) {
	s.mu.Lock()
	failed := s.acks.Failed
	unsequenced := !s.pending.empty()
	mayBeDue := s.acks.mayHaveAcks() || unsequenced
	urgent := len(s.pending.flushes) > 0 || s.state != StateOpen
	s.mu.Unlock()
	if !mayBeDue {
		s.writer.conflating = false
		return check
	}
	l, out := s.inst.Ledger, &s.writer
	if s.client.canSequence {
		check.safe, check.settled = l.Watermarks(s.client.claim.Publisher)
		check.tombs = l.Tombstones(s.client.claim.Publisher, failed)
	}
	if unsequenced {
		check.unsequencedSafe, check.unsequencedSettled = l.Watermarks(s.client.unsequenced.ID)
	}
	check.now = now
	out.conflating = !urgent && len(check.tombs) == 0 && now.Sub(out.lastAck) < s.client.conflation
	check.mayBeDue = !out.conflating // a conflated ack waits for the interval that the client asked for
	return check
}

// takeAcksLocked takes the acks that the watermarks allow.
func (s *Session) takeAcksLocked(check *ackCheck) (due dueAcks) {
	if !check.mayBeDue {
		return due
	}
	out := &s.writer
	if s.client.canSequence {
		out.ackScratch = s.acks.Next(out.ackScratch, check.safe, check.settled, check.tombs)
		due.acks = out.ackScratch
	}
	settled := max(s.acks.Safe, s.acks.Single, s.acks.Failed, check.settled) // with the acks already sent
	var publishBytes, flushBytes int
	due.publishes, publishBytes = takeDueAcks(&s.pending.publishes, settled, check.unsequencedSettled)
	due.flushes, flushBytes = takeDueAcks(&s.pending.flushes, settled, check.unsequencedSettled)
	s.account.add(-publishBytes - flushBytes)
	due.unsequencedSafe = check.unsequencedSafe
	s.probe.end(max(s.acks.Safe, s.acks.Single), check.now, &s.inst.Counts.AckTimes)
	if len(due.acks)+len(due.publishes)+len(due.flushes) > 0 {
		out.lastAck = check.now
	}
	return due
}

// writeAcks writes the persisted acks in due.
func (s *Session) writeAcks(due *dueAcks) {
	for _, o := range due.acks {
		s.writePersisted(o)
	}
	for _, a := range due.publishes {
		s.write(&wire.AckMessage{
			CommandID: a.id, Type: wire.AckPersisted, Success: true,
			Single: s.client.ext && a.unsequenced > due.unsequencedSafe,
		})
	}
	for _, f := range due.flushes {
		s.write(&wire.AckMessage{CommandID: f.id, Type: wire.AckPersisted, Success: true})
	}
	clear(due.publishes) // the array is still used by the acks that remain pending
	clear(due.flushes)
}

// writePersisted writes one cumulative ack, or the failure of one message.
func (s *Session) writePersisted(o PersistedAck) {
	a := wire.AckMessage{Type: wire.AckPersisted, Sequence: o.Sequence, HasSequence: true, Success: !o.Failure, Reason: o.Reason, Single: o.Single}
	if !o.Failure {
		a.MessageBookmark = bookmark.Bookmark{Publisher: s.client.claim.Publisher, Sequence: o.Sequence}
	} else {
		s.inst.Counts.Refused.Add(1)
		s.inst.Counts.Refusals.add(RefusedPublish, o.Reason)
	}
	s.write(&a)
}

// untilAck returns how long the conflated persisted acks must still wait to keep the interval that
// the client asked for.
func (s *Session) untilAck(now time.Time) time.Duration {
	if !s.writer.conflating {
		return never
	}
	return s.client.conflation - now.Sub(s.writer.lastAck)
}
