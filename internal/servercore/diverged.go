package servercore

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// divergedFrom returns the first number of the session's publisher that is not proven equal on all
// instances, or 0 if the publisher has not diverged (R11).
func (s *Session) divergedFrom() uint64 {
	if !s.client.canSequence || failpoint.On(failpoint.R11DivergedLives) {
		return 0
	}
	return s.inst.Ledger.Diverged(s.client.claim.Publisher)
}

// endDiverged ends a session whose publisher has diverged; from is the first number that is not
// proven equal. id is the id of the command that this answers, empty if there is none.
func (s *Session) endDiverged(id string, from uint64) {
	s.log.Error("session ends: its publisher has diverged, and nothing more of it is accepted", "publisher", s.client.claim.Publisher, "first", from)
	s.inst.Counts.Refusals.add(RefusedSession, wire.ReasonPublisherDiverged)
	s.inst.Registry.freeNames(s)
	s.End(wire.ReasonPublisherDiverged, &wire.AckMessage{
		CommandID: id, Type: wire.AckProcessed, Reason: wire.ReasonPublisherDiverged,
		MessageBookmark: bookmark.Bookmark{Publisher: s.client.claim.Publisher, Sequence: from},
	})
}

// endNotTaken ends a session because the ledger takes no more messages of its publisher. Until the
// divergence is durable the client is not told the reason: it gets that at its next logon.
func (s *Session) endNotTaken(publisher uint64) {
	if from := s.inst.Ledger.Diverged(publisher); from > 0 {
		s.endDiverged("", from)
		return
	}
	s.End("the publisher has diverged, and its record in the journal is not durable yet", nil)
}

// PublishersDiverged ends the sessions of publishers that have diverged. It tells the subscriptions
// whose place is already past the numbers that are proven equal.
func (r *Registry) PublishersDiverged(diverged []bookmark.Bookmark) {
	for _, b := range diverged {
		s := r.sessionOf(b.Publisher)
		if s == nil || failpoint.On(failpoint.R11DivergedLives) {
			continue
		}
		s.endDiverged("", b.Sequence)
		s.stopAppends()
	}
	diverged = slices.Clone(diverged)
	for _, s := range r.listSubscribers() {
		s.queueTask(func(time.Time) {
			for b := range s.writer.subs {
				s.tellPassed(b, diverged)
			}
		})
	}
}

// tellPassed tells a subscription about each diverged publisher whose proven numbers its place has
// passed.
func (s *Session) tellPassed(b *sub, diverged []bookmark.Bookmark) {
	for _, d := range diverged {
		if b.Options.Vector && b.Seen()[d.Publisher] >= d.Sequence {
			s.tellDiverged(b, d)
		}
	}
}

// tellDelivered tells subscriptions that the message m, which they get next, is of a diverged
// publisher and not proven equal.
func (s *Session) tellDelivered(subs []*sub, m bookmark.Bookmark) {
	from := s.inst.Ledger.Diverged(m.Publisher)
	if from == 0 || m.Sequence < from {
		return
	}
	for _, b := range subs {
		if b.Options.Vector {
			s.tellDiverged(b, bookmark.Bookmark{Publisher: m.Publisher, Sequence: from})
		}
	}
}

// tellDiverged tells a subscription, once per publisher, that a publisher has diverged.
func (s *Session) tellDiverged(b *sub, d bookmark.Bookmark) {
	if b.diverged[d.Publisher] {
		return
	}
	if b.diverged == nil {
		b.diverged = make(map[uint64]bool)
	}
	b.diverged[d.Publisher] = true
	s.write(&wire.AckMessage{
		CommandID: b.id, Type: wire.AckPersisted, Success: true, Reason: wire.ReasonPublisherDiverged, SubID: b.ID, MessageBookmark: d,
	})
}
