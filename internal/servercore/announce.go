package servercore

import (
	"maps"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

// An announcement collects the peers' answers to the notice of a logon (R11).
type announcement struct {
	ledger.Answers // all so far; HaveByPeer has the newest answer of each peer and is replaced, never modified

	asked   bool // the peers were asked at least once
	resend  bool // the notice must be sent once more
	running bool // the driver is asking the peers
}

// announce has the driver send the notice of the logon to the peers until all have answered.
func (s *Session) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inst.Ledger.Lone() || s.client.claim.Publisher == 0 && strings.HasPrefix(s.client.claim.ClientName, anonymous) {
		s.answers = announcement{Answers: ledger.Answers{AllAnswered: true, SurvivorsAnswered: true}, asked: true}
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
	s.answers.resend = true
	s.mu.Unlock()
	s.announce()
}

// peerAnswered reports whether the given peer has answered the notice of this session. The other
// peers, which may be away, do not matter.
func (s *Session) peerAnswered(peer string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, answered := s.answers.HaveByPeer[peer]
	return answered && !s.answers.resend
}

// Notice returns the notice to send to the peers.
func (s *Session) Notice() ledger.Notice {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers.resend = false
	return ledger.Notice(s.client.claim)
}

// AddAnswers adds the peers' answers to the notice; some may be missing. done is true when the
// peers need not be asked again.
func (s *Session) AddAnswers(a ledger.Answers) (done bool) {
	if a.NameTaken {
		s.log.Warn("session ends: another user has the client name on a peer")
		s.Fence()
		return true
	}
	if a.OtherPublisher {
		s.endOtherPublisher("")
		s.stopAppends()
		return true
	}
	if s.isOtherUser(a.Owner) && !failpoint.On(failpoint.R10AnyOwner) {
		_ = s.endOtherOwner("")
		s.stopAppends()
		return true
	}
	s.mergeAnswers(a)
	mustWait := s.awaitsPeers()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers.running = (!a.AllAnswered || mustWait || s.answers.resend) && s.state < StateEnding
	s.driver.Wake()
	return !s.answers.running
}

func (s *Session) mergeAnswers(a ledger.Answers) {
	s.mu.Lock()
	defer s.mu.Unlock()
	merged := &s.answers
	by := make(map[string]uint64, len(merged.HaveByPeer))
	maps.Copy(by, merged.HaveByPeer)
	maps.Copy(by, a.HaveByPeer)
	a.Have, a.Forgotten, a.HaveByPeer = max(merged.Have, a.Have), max(merged.Forgotten, a.Forgotten), by
	a.Intact, a.DecreeUsed = merged.Intact || a.Intact, merged.DecreeUsed || a.DecreeUsed
	merged.Answers, merged.asked = a, true
}

// awaitsPeers reports whether new numbers of the session's publisher must wait for the peers: one
// of them may have another session of the same publisher (R11).
func (s *Session) awaitsPeers() bool {
	if !s.client.canSequence {
		return false
	}
	s.mu.Lock()
	by := s.answers.HaveByPeer
	s.mu.Unlock()
	return s.inst.Ledger.MustHoldPublish(s.client.claim.Publisher, by)
}

// isOutbid reports whether a peer keeps another session.
func (s *Session) isOutbid() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers.Outbid
}

// OnNotice handles a peer's notice of a logon there: it closes the sessions here that lose to that
// logon (R11). A session that wins sends its own notice again, so that the peer learns of it
// whichever notice came first. When OnNotice returns, the losers append nothing more.
func (i *Instance) OnNotice(n ledger.Notice) (r ledger.Reply) {
	there := Claim(n)
	for _, here := range i.Registry.rivals(there) {
		switch ContestAcross(here.client.claim, there, here.peerAnswered(n.Instance)) {
		case NewWins:
			i.Counts.Fenced.Add(1)
			here.yield(there)
		case OldWins:
			r.Outbid = true
			here.announceAgain()
		case OtherUser:
			here.log.Warn("a logon with this client name on a peer is refused: it is of another user", "peer", n.Instance, "other_user", n.User)
			r.NameTaken = true
		case OtherPublisher:
			r.OtherPublisher = true
		}
	}
	if r == (ledger.Reply{}) {
		r.Outbid = i.Registry.isOutbid(there, i.Ledger)
	}
	r.Outbid = r.Outbid && !failpoint.On(failpoint.R11LoserNotTold)
	return r
}
