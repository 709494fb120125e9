package servercore

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A heldPublish is a publish that waits until its number may be taken (R11). The session executes
// no later command meanwhile.
type heldPublish struct {
	message *wire.Message
	refused string // reason of the tombstone to record; empty: the message is recorded
	since   time.Time
	release func() // from the ledger's Hold; nil: the publish does not count as waiting
}

// mayTake reports whether a number may go into the ledger now. A number at or below have(p) may. A
// number above it may once the peers know of the session and everything that they have of the
// publisher is here. From then on every number may.
func (s *Session) mayTake(sequence uint64) bool {
	r := &s.reader
	if r.mayTake {
		return true
	}
	if have, _ := s.inst.Ledger.Have(s.who.claim.Publisher); sequence <= have {
		return true
	}
	r.mayTake = !s.awaits()
	return r.mayTake
}

// hold keeps a publish until its number may be taken. It has the peers asked again unless that is
// under way.
func (s *Session) hold(m *wire.Message, refused string) {
	s.Notify()
	s.reader.stage = holding
	s.reader.held = heldPublish{message: m, refused: refused, release: s.inst.Ledger.Hold()}
	s.announce()
}

// decideHeld executes the held publish if its number may be taken now.
func (s *Session) decideHeld(now time.Time) error {
	h := &s.reader.held
	if h.since.IsZero() {
		h.since = now
	}
	switch {
	case s.mayTake(h.message.Sequence):
		m, refused := h.message, h.refused
		s.endHold()
		s.reader.stage = loggedOn
		s.reader.have, _ = s.inst.Ledger.Have(s.who.claim.Publisher) // a link may have brought it meanwhile
		return s.publishSequenced(m, refused)
	case !s.hasLost():
		return nil
	case now.Sub(h.since) >= lostWait:
		s.Fence()
		return ErrEnding
	}
	h.endWait() // a session that has lost waits for no peer
	return nil
}

// endHold drops the held publish, if there is one.
func (s *Session) endHold() {
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
