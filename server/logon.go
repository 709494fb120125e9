package server

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nuid"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

const (
	// A plain logon waits until have and settled are one number (R15), an
	// extended one for its peers' answers if nobody here knows it (R10).
	plainLogonWait    = time.Minute
	extendedLogonWait = 3 * time.Second
	// Between looks at what a logon waits for that nothing else wakes it for.
	logonTick = 100 * time.Millisecond
	// For the peers' answers to one notice, and between notices.
	noticeTimeout = 2 * time.Second
	noticePause   = time.Second

	maxConflation = time.Minute // an ack may be kept no longer
	maxNameBytes  = 1024
)

// messageTypes are those that a logon may name; they don't separate topics here.
var messageTypes = map[string]bool{
	"": true, "json": true, "binary": true, "msgpack": true, "xml": true, "fix": true, "nvfix": true,
}

// A refusal is a logon that is answered with a failure, then closed.
type refusal struct{ reason string }

func (e *refusal) Error() string { return "logon refused: " + e.reason }

// first executes the first command, which must be a logon.
func (s *session) first(m *wire.Message) error {
	if m.Command != wire.Logon {
		return s.refuseLogon(m, wire.ReasonLogonRequired)
	}
	if m.Acks&wire.AckReceived != 0 {
		s.send(&wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckReceived, Success: true})
	}
	if reason := s.identify(m); reason != "" {
		return s.refuseLogon(m, reason)
	}
	losers, ok := s.srv.registry.claim(s)
	if !ok {
		return s.refuseLogon(m, wire.ReasonNameInUse)
	}
	for _, old := range losers {
		s.srv.counts.fenced.Add(1)
		old.log.Info(servercore.Takeover(old.claim, s.claim))
		old.fence()
	}
	s.announce()
	verdict, facts, err := s.decide(m.Acked)
	switch {
	case err != nil:
		return err
	case verdict.Step == servercore.LogonGap:
		return s.publishGap(m.Acked)
	}
	s.accept(m, verdict, facts)
	return nil
}

// refuseLogon answers with a failure and ends the session.
func (s *session) refuseLogon(m *wire.Message, reason string) error {
	s.end("logon refused: "+reason, &wire.AckMessage{
		CommandID: string(m.CommandID), Type: wire.AckProcessed, Reason: reason, Version: s.srv.version(),
	})
	return &refusal{reason}
}

// identify takes from the logon who the client is. The reason is why it is refused.
func (s *session) identify(m *wire.Message) (reason string) {
	name := string(m.ClientName)
	switch {
	case !messageTypes[string(m.MessageType)]:
		return wire.ReasonInvalidMessageType
	case !validName(m.ClientName):
		return "invalid client name"
	case !validName(m.Store):
		return "invalid store"
	case !validName(m.UserID):
		return "invalid user"
	}
	for name, value := range wire.Options(m.Options) {
		if !s.logonOption(string(name), value) {
			return wire.ReasonInvalidOptions
		}
	}
	s.ext = string(m.Ext) == "1"
	s.claim = servercore.Claim{Name: name, User: string(m.UserID), Instance: s.srv.cfg.Name}
	s.user = []byte(s.claim.User)
	switch {
	case s.ext && len(m.Store) > 0:
		s.claim.Life, s.claim.Counter = string(m.Store), m.Counter
		s.claim.Publisher = bookmark.Hash(s.claim.Life)
	case !s.ext && name != "":
		s.claim.Publisher = bookmark.Hash(name)
	}
	s.canSequence = s.claim.Publisher != 0
	if name == "" {
		s.claim.Name = "anonymous-" + nuid.Next()
	}
	s.unsequenced = s.srv.runPublisher(s.claim.Name)
	s.log = s.log.With("client", s.claim.Name)
	return ""
}

// validName reports whether a name is short and text, and reads as what it is:
// marks that turn the direction of writing can make one look like another.
func validName(name []byte) bool {
	return len(name) <= maxNameBytes && utf8.Valid(name) && !bytes.ContainsFunc(name, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
	})
}

// logonOption takes one option of the logon, false if nobody knows it.
func (s *session) logonOption(name string, value []byte) bool {
	switch name {
	case "ack_conflation":
		d, err := wire.ParseInterval(value)
		s.conflation = min(d, maxConflation)
		return err == nil
	case "pretty", "none":
		return true
	}
	return false
}

// An announcement is what the peers have said to the notice of a logon (R11).
type announcement struct {
	have    uint64 // the highest answer
	coming  uint64 // the highest of those from whom something may come
	asked   bool   // once at least
	all     bool   // everybody has answered
	enough  bool   // those have, and the sync destinations
	again   bool   // tell them once more
	running bool   // the helper is
}

// announce tells the peers of the logon until all have answered, in a helper
// that ends with the session.
func (s *session) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv.lone() || s.claim.Publisher == 0 && strings.HasPrefix(s.claim.Name, "anonymous-") {
		s.answers = announcement{asked: true, all: true}
		return
	}
	if s.answers.running || s.state >= sessionEnding {
		return
	}
	s.answers.running = true
	s.helper.Go(s.notifyPeers)
}

// announceAgain tells the peers once more: one of them seems to have a session
// that must end.
func (s *session) announceAgain() {
	s.mu.Lock()
	s.answers.again = true
	s.mu.Unlock()
	s.announce()
}

// wasAnnounced reports whether all peers knew of the session.
func (s *session) wasAnnounced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers.all && !s.answers.again
}

// notifyPeers is the helper of announce.
func (s *session) notifyPeers() {
	n := replica.Notice{
		ClientName: s.claim.Name, User: s.claim.User, Publisher: s.claim.Publisher,
		Life: s.claim.Life, Counter: s.claim.Counter, Instance: s.claim.Instance,
	}
	for {
		s.mu.Lock()
		s.answers.again = false
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(s.ctx, noticeTimeout)
		answers := s.srv.links.Load().Notify(ctx, n)
		cancel()
		if answers.Refused {
			s.log.Warn("the name is in use by another user elsewhere")
			s.fence()
			return
		}
		if s.answered(answers) {
			return
		}
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(noticePause):
		}
	}
}

// answered notes the answers and reports whether the helper has done its work.
func (s *session) answered(a replica.Answers) (done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers.have = max(s.answers.have, a.Have)
	s.answers.coming = max(s.answers.coming, a.Coming)
	s.answers.asked = true
	s.answers.all, s.answers.enough = a.All, a.Enough
	s.answers.running = !a.All || s.answers.again
	s.signal()
	return !s.answers.running
}

// decide decides the logon, waiting where it must.
func (s *session) decide(acked uint64) (servercore.LogonVerdict, servercore.LogonFacts, error) {
	began := time.Now()
	bound := plainLogonWait
	if s.ext {
		bound = extendedLogonWait
	}
	waits := false
	for {
		facts := s.facts(acked)
		verdict := servercore.DecideLogon(facts)
		switch {
		case verdict.Step == servercore.LogonGone:
			if err := s.journalGone(verdict.UpTo); err != nil {
				return verdict, facts, err
			}
			continue
		case verdict.Step != servercore.LogonWait:
			return verdict, facts, nil
		case time.Since(began) >= bound && s.ext:
			return servercore.LogonVerdict{Step: servercore.LogonGap}, facts, nil
		case time.Since(began) >= bound:
			return verdict, facts, fmt.Errorf("logon: this instance and its peers did not agree on a number for %v", bound)
		}
		if !waits && facts.Have > 0 {
			waits = true
			s.srv.links.Load().Waits(s.claim.Publisher, facts.Have)
		}
		if err := s.pause(); err != nil {
			return verdict, facts, err
		}
	}
}

// pause waits a little while a logon can't be decided.
func (s *session) pause() error {
	select {
	case <-s.ctx.Done():
		return errEnding
	case <-s.srv.stopping:
		return errEnding
	case <-s.moved:
		return nil
	case <-time.After(logonTick):
		return nil
	}
}

// facts are what is known of the logon now.
func (s *session) facts(acked uint64) servercore.LogonFacts {
	links := s.srv.links.Load()
	f := servercore.LogonFacts{
		Ext: s.ext, Publishes: s.canSequence, Acked: acked,
		Lone: s.srv.lone(), Reachable: links.Reachable(), Single: links.Single(), CatchingUp: links.CatchingUp(),
	}
	s.mu.Lock()
	f.Asked, f.Answered, f.PeerHave = s.answers.asked, s.answers.all, s.answers.have
	f.Enough, f.Coming = s.answers.enough, s.answers.coming
	s.mu.Unlock()
	if s.canSequence {
		// Watermarks first: they are never above a have that is read later.
		f.Safe, f.Settled = links.Watermarks(s.claim.Publisher)
		state, _ := s.srv.journal.State(s.claim.Publisher)
		f.Have = state.Have
	}
	return f
}

// journalGone journals that everything of the publisher up to there was let
// go of before anyone here knew it (R10).
func (s *session) journalGone(upTo uint64) error {
	s.log.Warn("nobody in the group knows this publisher any more, going on from where it says it is", "gone_up_to", upTo)
	r := journal.Record{Kind: journal.Gone, Publisher: s.claim.Publisher, Sequence: upTo}
	if _, err := s.append(&r); err != nil {
		return err
	}
	return nil
}

// publishGap ends a session whose client would write past what this instance
// lacks (R4).
func (s *session) publishGap(sequence uint64) error {
	s.srv.counts.publishGaps.Add(1)
	state, _ := s.srv.journal.State(s.claim.Publisher)
	s.log.Warn("publish gap: this instance lacks what the client goes on from", "have", state.Have, "client_is_at", sequence)
	s.end(wire.ReasonPublishGap, &wire.AckMessage{Type: wire.AckProcessed, Reason: wire.ReasonPublishGap})
	return errEnding
}

// accept answers the logon. The failures of what was refused go before it, so
// that its number does not let them pass in silence (R14).
func (s *session) accept(m *wire.Message, v servercore.LogonVerdict, f servercore.LogonFacts) {
	s.unknown = s.canSequence && !s.ext && f.UnknownEverywhere()
	if s.canSequence {
		s.srv.journal.Seen(s.claim.Publisher)
	}
	told := uint64(0)
	if s.canSequence && s.ext && !mut.On(mut.R14NotToldAgain) {
		for _, t := range s.srv.journal.Tombstones(s.claim.Publisher, m.Acked) {
			s.send(&wire.AckMessage{Type: wire.AckPersisted, Sequence: t.Sequence, HasSequence: true, Reason: t.Reason})
			told = t.Sequence
		}
	}
	s.mu.Lock()
	s.acks.Begin(s.ext, v.Sequence, told)
	s.known = true
	s.mu.Unlock()
	s.loggedOn = true
	s.srv.registry.loggedOn(s) // before the client knows: it may connect again at once
	a := s.logonAck(m, v, f)
	if m.Acks&wire.AckProcessed != 0 {
		s.send(a)
	}
	s.told(a.Sync)
	s.srv.counts.logons.Add(1)
	s.log.Info("client logged on", "ext", s.ext, "s", v.Sequence, "have", v.Have)
}

func (s *session) logonAck(m *wire.Message, v servercore.LogonVerdict, f servercore.LogonFacts) *wire.AckMessage {
	a := &wire.AckMessage{
		CommandID: string(m.CommandID), Type: wire.AckProcessed, Success: true,
		Sequence: v.Sequence, HasSequence: true,
		Bookmark:   bookmark.Bookmark{Publisher: s.claim.Publisher, Sequence: v.Sequence}.String(),
		ClientName: s.claim.Name,
		Version:    s.srv.version(),
	}
	if !s.ext {
		return a
	}
	a.Ext, a.Have, a.Max, a.CatchingUp = true, v.Have, uint64(s.srv.cfg.MaxMessage), f.CatchingUp
	if carried := s.srv.links.Load().Carried(); carried != nil {
		a.Carried, a.HasCarried = strings.Join(carried, ","), true
	}
	s.introduce(a)
	return a
}
