package servercore

import (
	"maps"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

// An announcement collects the peers' answers to the notice of a logon (R11).
type announcement struct {
	ledger.Answers // all so far; By has the newest answer of each peer and is replaced, never modified

	asked   bool // the peers were asked at least once
	again   bool // the notice must be sent once more
	running bool // the driver is asking the peers
}

// announce has the driver send the notice of the logon to the peers until all have answered.
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

// announceAgain sends the notice once more, because a peer seems to have a session that must end.
func (s *Session) announceAgain() {
	s.mu.Lock()
	s.answers.again = true
	s.mu.Unlock()
	s.announce()
}

// wasAnnounced reports whether the given peer has answered the notice of this session. The other
// peers, which may be away, do not matter.
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

// Answered takes the peers' answers to the notice; some may be missing. It returns true when the
// peers need not be asked again.
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

// awaits reports whether new numbers of the session's publisher must wait for the peers: one of
// them may have another session of the same publisher (R11).
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

// OnNotice handles a peer's notice of a logon there: it closes the sessions here that lose to that
// logon (R11). A session that wins sends its own notice again, so that the peer learns of it
// whichever notice came first. When OnNotice returns, the losers append nothing more.
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
	r.Lost = r.Lost && !failpoint.On(failpoint.R11KeptInSilence)
	return r
}
