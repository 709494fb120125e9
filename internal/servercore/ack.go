package servercore

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// pendingAcks are the acks that a client has asked for by command: of publishes
// without a sequence, which the instance counts, and of flushes. Both are in order.
type pendingAcks struct {
	publishes, flushes []pendingAck
	last               uint64 // highest number given to a publish without a sequence
}

// A pendingAck is due when everything up to its numbers is settled.
type pendingAck struct {
	id          string // of the command
	sequence    uint64 // of the publisher; 0: it does not wait for that
	unsequenced uint64 // of publishes without a sequence
}

// size returns how many bytes it takes.
func (a pendingAck) size() int { return pendingBytes + len(a.id) }

// publish notes a publish without a sequence, and that its ack is wanted. It returns
// how many bytes that takes.
func (p *pendingAcks) publish(sequence uint64, id string, wanted bool) int {
	p.last = sequence
	if !wanted {
		return 0
	}
	a := pendingAck{id: id, unsequenced: sequence}
	p.publishes = append(p.publishes, a)
	return a.size()
}

// flush notes a flush after the publish of that sequence. It returns how many bytes
// that takes.
func (p *pendingAcks) flush(id string, sequence uint64) int {
	a := pendingAck{id, sequence, p.last}
	p.flushes = append(p.flushes, a)
	return a.size()
}

// empty reports whether no ack waits.
func (p *pendingAcks) empty() bool { return len(p.publishes)+len(p.flushes) == 0 }

// takeDue takes the acks that are due from a list, and returns how many bytes they took:
// settled is how far the sequenced publisher is, unsequenced how far the other.
func takeDue(list *[]pendingAck, settled, unsequenced uint64) (due []pendingAck, bytes int) {
	for _, a := range *list {
		if a.sequence > settled || a.unsequenced > unsequenced {
			break
		}
		due, bytes = (*list)[:len(due)+1], bytes+a.size()
	}
	*list = (*list)[len(due):]
	return slices.Clip(due), bytes
}

// An ackLook says whether persisted acks may be due, and how far the two publishers of
// a session are. They may have moved on when it is used, never back.
type ackLook struct {
	now                                 time.Time
	owes                                bool
	safe, settled                       uint64
	unsequencedSafe, unsequencedSettled uint64              // of messages without a sequence
	tombs                               []ledger.Tombstoned // that may not have been told
}

// acksDue are the persisted acks to write.
type acksDue struct {
	acks            []AckOut // of the sequenced publisher
	publishes       []pendingAck
	flushes         []pendingAck
	unsequencedSafe uint64
}

// lookForAcks looks whether persisted acks may be due. It asks the ledger, so the
// session is not locked meanwhile.
func (s *Session) lookForAcks(now time.Time) (look ackLook) {
	s.mu.Lock()
	failed := s.acks.Failed
	unsequenced := !s.pending.empty()
	owes := s.acks.owes() || unsequenced
	urgent := len(s.pending.flushes) > 0 || s.state != StateOpen
	s.mu.Unlock()
	if !owes {
		s.writer.held = false
		return look
	}
	l, out := s.inst.Ledger, &s.writer
	if s.who.canSequence {
		look.safe, look.settled = l.Watermarks(s.who.claim.Publisher)
		look.tombs = l.Tombstones(s.who.claim.Publisher, failed)
	}
	if unsequenced {
		look.unsequencedSafe, look.unsequencedSettled = l.Watermarks(s.who.unsequenced.ID)
	}
	look.now = now
	out.held = !urgent && len(look.tombs) == 0 && now.Sub(out.lastAck) < s.who.conflation
	look.owes = !out.held // else the client asked for a least distance
	return look
}

// takeAcksLocked takes the acks that the watermarks allow.
func (s *Session) takeAcksLocked(look *ackLook) (due acksDue) {
	if !look.owes {
		return due
	}
	out := &s.writer
	if s.who.canSequence {
		out.ackOuts = s.acks.Next(out.ackOuts, look.safe, look.settled, look.tombs)
		due.acks = out.ackOuts
	}
	settled := max(s.acks.Safe, s.acks.Single, s.acks.Failed, look.settled) // with what was told
	var took, more int
	due.publishes, took = takeDue(&s.pending.publishes, settled, look.unsequencedSettled)
	due.flushes, more = takeDue(&s.pending.flushes, settled, look.unsequencedSettled)
	s.account.take(-took - more)
	due.unsequencedSafe = look.unsequencedSafe
	if len(due.acks)+len(due.publishes)+len(due.flushes) > 0 {
		out.lastAck = look.now
	}
	return due
}

// writeAcks writes persisted acks that were taken.
func (s *Session) writeAcks(due *acksDue) {
	for _, o := range due.acks {
		s.writePersisted(o)
	}
	for _, a := range due.publishes {
		s.write(&wire.AckMessage{
			CommandID: a.id, Type: wire.AckPersisted, Success: true,
			Single: s.who.ext && a.unsequenced > due.unsequencedSafe,
		})
	}
	for _, f := range due.flushes {
		s.write(&wire.AckMessage{CommandID: f.id, Type: wire.AckPersisted, Success: true})
	}
	clear(due.publishes) // their array lives on behind those that wait
	clear(due.flushes)
}

// writePersisted writes one cumulative ack, or the failure of one message.
func (s *Session) writePersisted(o AckOut) {
	a := wire.AckMessage{Type: wire.AckPersisted, Sequence: o.Sequence, HasSequence: true, Success: !o.Failure, Reason: o.Reason, Single: o.Single}
	if !o.Failure {
		a.Mark = bookmark.Bookmark{Publisher: s.who.claim.Publisher, Sequence: o.Sequence}
	} else {
		s.inst.Counts.Refused.Add(1)
	}
	s.write(&a)
}

// untilAck returns how long persisted acks that are held back must still wait
// to keep the distance that the client asked for.
func (s *Session) untilAck(now time.Time) time.Duration {
	if !s.writer.held {
		return never
	}
	return s.who.conflation - now.Sub(s.writer.lastAck)
}
