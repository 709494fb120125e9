package servercore

import (
	"maps"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// An announcement is what the peers have said to the notice of a logon (R11).
type announcement struct {
	ledger.Answers // all so far: By has the newest of each peer, and is never changed, only replaced

	asked   bool // once at least
	again   bool // tell them once more
	running bool // the driver asks them
}

// announce has the peers told of the logon until all have answered.
func (s *Session) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inst.Ledger.Lone() || s.who.claim.Publisher == 0 && strings.HasPrefix(s.who.claim.ClientName, anonymous) {
		s.answers = announcement{Answers: ledger.Answers{All: true, Survivors: true}, asked: true}
		return
	}
	if s.answers.running || s.state >= StateEnding {
		return
	}
	s.answers.running = true
	s.driver.AskPeers()
}

// announceAgain has the peers told once more: one of them seems to have a
// session that must end.
func (s *Session) announceAgain() {
	s.mu.Lock()
	s.answers.again = true
	s.mu.Unlock()
	s.announce()
}

// wasAnnounced reports whether a peer has answered that it knew of the session.
// Whether others have, which may be away, does not matter to it.
func (s *Session) wasAnnounced(peer string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, answered := s.answers.By[peer]
	return answered && !s.answers.again
}

// Notice returns the notice to send to the peers.
func (s *Session) Notice() ledger.Notice {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers.again = false
	return ledger.Notice(s.who.claim)
}

// Answered takes in the peers' answers to the notice, which may be part of them.
// done: they need not be asked again.
func (s *Session) Answered(a ledger.Answers) (done bool) {
	if a.Refused {
		s.log.Warn("the name is in use by another user elsewhere")
		s.Fence()
		return true
	}
	if a.Other {
		s.endOther("")
		s.bar()
		return true
	}
	s.takeAnswers(a)
	awaits := s.awaits()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers.running = (!a.All || awaits || s.answers.again) && s.state < StateEnding
	s.driver.Wake()
	return !s.answers.running
}

func (s *Session) takeAnswers(a ledger.Answers) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := &s.answers
	by := make(map[string]uint64, len(was.By))
	maps.Copy(by, was.By)
	maps.Copy(by, a.By)
	a.Have, a.Forgotten, a.By = max(was.Have, a.Have), max(was.Forgotten, a.Forgotten), by
	a.Intact, a.Settled = was.Intact || a.Intact, was.Settled || a.Settled
	was.Answers, was.asked = a, true
}

// awaits reports whether numbers of the session's publisher must still wait for
// the peers (R11).
func (s *Session) awaits() bool {
	if !s.who.canSequence {
		return false
	}
	s.mu.Lock()
	by := s.answers.By
	s.mu.Unlock()
	return s.inst.Ledger.Awaits(s.who.claim.Publisher, by)
}

// hasLost reports whether a peer keeps another session.
func (s *Session) hasLost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers.Lost
}

// OnNotice closes the sessions that a logon on a peer replaces (R11). Those
// that win tell the peer once more, so that it hears of them whichever notice
// came first. When it returns the losers append nothing more. refused: the name
// belongs to another user here; other: the id belongs to another publisher; lost:
// another session stays, here or on a third instance.
func (i *Instance) OnNotice(n ledger.Notice) (r ledger.Reply) {
	there := Claim(n)
	for _, here := range i.Registry.rivals(there) {
		switch ContestAcross(here.who.claim, there, here.wasAnnounced(n.Instance)) {
		case NewWins:
			i.Counts.Fenced.Add(1)
			here.yield(there)
		case OldWins:
			r.Lost = true
			here.announceAgain()
		case OtherUser:
			here.log.Warn("another user asks for the name elsewhere and is refused", "instance", n.Instance, "user", n.User)
			r.Refused = true
		case OtherPublisher:
			r.Other = true
		}
	}
	if r == (ledger.Reply{}) {
		r.Lost = i.Registry.outbid(there, i.Ledger)
	}
	r.Lost = r.Lost && !mut.On(mut.R11KeptInSilence)
	return r
}
