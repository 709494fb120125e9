package servercore

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A heldPublish is a publish that waits until its number may be appended (R11). The session
// executes no later command meanwhile.
type heldPublish struct {
	message *wire.Message
	refusal string // reason of the tombstone to record; empty: the message is recorded
	since   time.Time
	release func() // from the ledger's HoldPublish; nil: the publish does not count as waiting
}

// mayAppend reports whether a number may go into the ledger now. A number at or below have(p) may.
// A number above it may once the peers know of the session and everything that they have of the
// publisher is here. From then on every number may.
func (s *Session) mayAppend(sequence uint64) bool {
	r := &s.reader
	if r.mayAppend {
		return true
	}
	if have, _ := s.inst.Ledger.Have(s.client.claim.Publisher); sequence <= have {
		return true
	}
	r.mayAppend = !s.awaitsPeers()
	return r.mayAppend
}

// holdPublish holds a publish until its number may be appended. It has the peers asked again unless
// that is under way.
func (s *Session) holdPublish(m *wire.Message, refusal string) {
	s.Notify()
	s.reader.stage = stageHolding
	s.reader.held = heldPublish{message: m, refusal: refusal, release: s.inst.Ledger.HoldPublish()}
	s.announce()
}

// decideHeld executes the held publish if its number may be appended now.
func (s *Session) decideHeld(now time.Time) error {
	h := &s.reader.held
	if h.since.IsZero() {
		h.since = now
	}
	switch {
	case s.mayAppend(h.message.Sequence):
		m, refusal := h.message, s.refusalNow(h)
		s.dropHeldPublish()
		s.reader.stage = stageLoggedOn
		s.reader.have, _ = s.inst.Ledger.Have(s.client.claim.Publisher) // a link may have brought it meanwhile
		return s.publishSequenced(m, refusal)
	case !s.isOutbid():
		return nil
	case now.Sub(h.since) >= outbidWait:
		s.Fence()
		return ErrEnding
	}
	h.endWait() // an outbid session waits for no peer
	return nil
}

// refusalNow returns the reason to refuse a held publish. The permissions may have changed since it
// came.
func (s *Session) refusalNow(h *heldPublish) string {
	byPermission := h.refusal == "" || h.refusal == wire.ReasonNotEntitled
	if byPermission && !failpoint.On(failpoint.R14HeldAsItCame) {
		return s.refusalReason(h.message)
	}
	return h.refusal
}

// dropHeldPublish drops the held publish, if there is one.
func (s *Session) dropHeldPublish() {
	s.reader.held.endWait()
	s.reader.held = heldPublish{}
}

// endWait ends the time in which the held publish counts as waiting for the peers (R5).
func (h *heldPublish) endWait() {
	if h.release != nil {
		h.release()
		h.release = nil
	}
}
