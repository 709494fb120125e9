package servercore

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

const (
	markInterval = time.Second // between two progress marks of a subscription that moves
	markRecords  = 1000        // records passed after which a mark is due earlier
)

// writeMarks writes the progress marks that are due.
func (s *Session) writeMarks(now time.Time) {
	for b := range s.writer.subs {
		if now.Sub(b.lastMark) >= markInterval {
			s.writeMark(b, now)
		}
	}
}

func (b *sub) markDue() bool {
	return b.Moved() && (b.Options.Vector || b.Bookmark && b.acks&wire.AckPersisted != 0)
}

// writeMark writes a progress mark (R9). A plain client takes a mark for a point up to which
// everything is persisted, so for it the last message passed must be settled.
func (s *Session) writeMark(b *sub, now time.Time) {
	if !b.markDue() {
		return
	}
	b.lastMark = now
	s.chargeSub(b)
	if failpoint.On(failpoint.R9NoMarks) {
		return
	}
	b.NamePublishers(s.leavesOut)
	text := ""
	switch last := b.Last(); {
	case b.Options.Vector || s.isSettled(last):
		text = string(b.AppendMark(nil))
	case !b.candidate.IsZero() && s.isSettled(b.candidate):
		text, b.candidate = b.candidate.String(), last
	default: // the candidate stays until it is settled: under load the newest message never is
		if b.candidate.IsZero() {
			b.candidate = last
		}
		return
	}
	a := wire.AckMessage{CommandID: b.id, Type: wire.AckPersisted, Success: true, SubID: b.ID}
	for text != "" { // several parts together say the same as one long mark
		a.Bookmark, text = wire.CutPart(text)
		s.write(&a)
	}
}

// leavesOut reports whether a place may leave out a publisher that has sent nothing for its
// subscription. It may if the ledger will always know all topics of the messages that it has now.
func (s *Session) leavesOut(publisher uint64) bool {
	return s.inst.Ledger.TopicsKnown(publisher) || failpoint.On(failpoint.R9ManyTopicsLeftOut)
}

func (s *Session) isSettled(b bookmark.Bookmark) bool {
	_, settled := s.inst.Ledger.Watermarks(b.Publisher)
	return settled >= b.Sequence
}

// untilMark returns how long the next progress mark may wait.
func (s *Session) untilMark(now time.Time) time.Duration {
	next := never
	for b := range s.writer.subs {
		if b.markDue() {
			next = min(next, markInterval-now.Sub(b.lastMark))
		}
	}
	return next
}
