package sim

import (
	"encoding/binary"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// Bounds of a logon, as the server has them.
const (
	noticeTimeout = 2 * time.Second
	noticePause   = time.Second
	logonWait     = 3 * time.Second
	logonTick     = 100 * time.Millisecond
)

const (
	reasonGap       = wire.ReasonPublishGap
	reasonNameInUse = wire.ReasonNameInUse
)

// A session is a client's connection on the instance's side.
type session struct {
	i         *instance
	s         *side
	in        frames
	ended     bool
	loggedOn  bool
	claim     servercore.Claim
	publisher uint64 // 0: it doesn't publish
	acked     uint64
	acks      servercore.AckCore
	answers   replica.Answers
	asked     bool // once at least
	asking    bool
	poll      func(last bool) (replica.Answers, bool)
	until     time.Duration // then what has come must do
	again     bool          // tell the peers once more
	deciding  bool
	began     time.Duration
	early     []any // what came before the logon was answered
	subs      []*subscription
}

// accept begins a session with a client that has connected.
func (i *instance) accept(s *side) {
	c := &session{i: i, s: s, began: i.w.now}
	s.heard = i.w.now
	s.take = func(packet any) {
		c.arrived(packet.([]byte))
		i.wake()
	}
	s.lost = func(error) { c.end() }
	i.sessions = append(i.sessions, c)
}

// A guest has connected to the client port of an instance that doesn't serve yet.
type guest struct {
	s     *side
	early []any
}

// clientConnects is what an instance does with a connection to its client
// port, which is bound before it is served.
func (i *instance) clientConnects(s *side) {
	if i.serving {
		i.accept(s)
		return
	}
	g := &guest{s: s}
	s.take = func(packet any) { g.early = append(g.early, packet) }
	s.lost = func(error) {}
	i.waiting = append(i.waiting, g)
}

// admit lets a guest in.
func (i *instance) admit(g *guest) {
	if g.s.closed || g.s.told {
		return
	}
	i.accept(g.s)
	for _, p := range g.early {
		g.s.take(p)
	}
}

func (s *session) end() {
	if s.ended {
		return
	}
	s.ended = true
	for _, b := range s.subs {
		b.stop()
	}
	s.subs = nil
	s.s.close()
}

// fail tells the client why, and ends the session.
func (s *session) fail(reason string) {
	if !s.ended {
		s.send(failPacket{reason})
	}
	s.end()
}

func (s *session) received(packet any) {
	if s.ended {
		return
	}
	logon, is := packet.(logonPacket)
	switch {
	case is && s.claim.Name == "":
		s.logon(logon)
	case !s.loggedOn:
		s.early = append(s.early, packet)
	default:
		s.command(packet)
	}
}

func (s *session) command(packet any) {
	switch p := packet.(type) {
	case publishPacket:
		s.publish(&p)
	case subscribePacket:
		s.subscribe(p)
	case unsubscribePacket:
		s.unsubscribe(p.id)
	}
}

// logon claims the name, tells the peers, and waits for a decision.
func (s *session) logon(p logonPacket) {
	i := s.i
	s.acked = p.acked
	s.claim = servercore.Claim{Name: p.name, Life: p.life, Counter: p.counter, Instance: i.name}
	if p.life != "" {
		s.publisher = bookmark.Hash(p.life)
		s.claim.Publisher = s.publisher
	}
	var losers []*session
	for _, old := range i.rivals(s.claim, s) {
		if servercore.ContestHere(old.claim, s.claim) != servercore.NewWins {
			s.fail(reasonNameInUse)
			return
		}
		losers = append(losers, old)
	}
	for _, old := range losers {
		old.fail(reasonNameInUse)
	}
	s.deciding, s.began = true, i.w.now
	s.announce()
	s.decide()
}

// rivals are the sessions that can't live beside a claim.
func (i *instance) rivals(c servercore.Claim, except *session) []*session {
	var rivals []*session
	for _, s := range i.sessions {
		if s != except && !s.ended && s.claim.Name != "" && (s.claim.Name == c.Name || c.Publisher != 0 && s.claim.Publisher == c.Publisher) {
			rivals = append(rivals, s)
		}
	}
	return rivals
}

// announce tells the peers until all have answered (R11).
func (s *session) announce() {
	if s.asking || s.ended {
		return
	}
	s.asking, s.again = true, false
	c := s.claim
	s.poll = s.i.links.Ask(replica.Notice{
		ClientName: c.Name, User: c.User, Publisher: c.Publisher, Life: c.Life, Counter: c.Counter, Instance: c.Instance,
	})
	s.until = s.i.w.now + noticeTimeout
	s.i.w.after(noticeTimeout, &s.i.process, 'q', s.lookForAnswers)
	s.lookForAnswers()
}

// lookForAnswers looks whether the peers have answered, or too long have not.
func (s *session) lookForAnswers() {
	if s.ended || !s.asking {
		return
	}
	if answers, done := s.poll(s.i.w.now >= s.until); done {
		s.answered(answers)
	}
}

func (s *session) answered(a replica.Answers) {
	s.asking = false
	if a.Refused {
		s.fail(reasonNameInUse)
		return
	}
	s.answers.Have = max(s.answers.Have, a.Have)
	s.answers.Coming = max(s.answers.Coming, a.Coming)
	s.answers.All, s.answers.Enough = a.All, a.Enough
	s.asked = true
	if !a.All || s.again {
		s.i.w.after(noticePause, &s.i.process, 'Q', s.announce)
	}
	s.decide()
}

// notice closes the sessions that a logon on a peer replaces (R11).
func (i *instance) notice(n replica.Notice) (refused bool) {
	there := servercore.Claim{Name: n.ClientName, User: n.User, Publisher: n.Publisher, Life: n.Life, Counter: n.Counter, Instance: n.Instance}
	for _, here := range i.rivals(there, nil) {
		switch servercore.ContestAcross(here.claim, there, here.answers.All && !here.again) {
		case servercore.NewWins:
			here.fail(reasonNameInUse)
		case servercore.OldWins:
			here.again = true
			here.announce()
		case servercore.OtherUser:
			refused = true
		}
	}
	return refused
}

// decide decides the logon, or looks again later.
func (s *session) decide() {
	if s.ended || !s.deciding {
		return
	}
	i := s.i
	facts := s.facts()
	v := servercore.DecideLogon(facts)
	for v.Step == servercore.LogonGone {
		s.append(&journal.Record{Kind: journal.Gone, Publisher: s.publisher, Sequence: v.UpTo})
		facts = s.facts()
		v = servercore.DecideLogon(facts)
	}
	switch {
	case v.Step == servercore.LogonGap, v.Step == servercore.LogonWait && i.w.now-s.began >= logonWait:
		i.w.say("%s: publish gap for %s: let go %d, have %d", i.name, s.claim.Name, s.acked, facts.Have)
		i.w.counts.Gaps++
		s.fail(reasonGap)
	case v.Step == servercore.LogonWait:
		if facts.Have > 0 {
			i.links.Waits(s.publisher, facts.Have)
		}
		i.w.after(logonTick, &i.process, 'l', s.decide)
	default:
		s.accepted(v, facts)
	}
}

func (s *session) facts() servercore.LogonFacts {
	l := s.i.links
	f := servercore.LogonFacts{
		Ext: true, Publishes: s.publisher != 0, Acked: s.acked,
		Reachable: l.Reachable(), Single: l.Single(), CatchingUp: l.CatchingUp(),
		Asked: s.asked, Answered: s.answers.All, PeerHave: s.answers.Have, Enough: s.answers.Enough, Coming: s.answers.Coming,
	}
	if s.publisher != 0 {
		f.Safe, f.Settled = l.Safe(s.publisher), l.Settled(s.publisher)
		state, _ := s.i.j.State(s.publisher)
		f.Have = state.Have
	}
	return f
}

// accepted answers the logon; the failures of what was refused go before it (R14).
func (s *session) accepted(v servercore.LogonVerdict, f servercore.LogonFacts) {
	s.deciding, s.loggedOn = false, true
	told := uint64(0)
	if s.publisher != 0 {
		s.i.j.Seen(s.publisher)
		for _, t := range s.i.j.Tombstones(s.publisher, s.acked) {
			s.send(persistedPacket{sequence: t.Sequence, failure: true})
			told = t.Sequence
		}
	}
	s.acks.Begin(true, v.Sequence, told)
	s.i.w.oracle.acked(s.i, s.publisher, v.Sequence)
	s.send(logonAckPacket{safe: v.Sequence, have: v.Have, catchingUp: f.CatchingUp})
	for _, p := range s.early {
		if !s.ended {
			s.command(p)
		}
	}
	s.early = nil
}

// publish journals a message, or that it was refused.
func (s *session) publish(p *publishPacket) {
	r := journal.Record{Kind: journal.Message, Publisher: s.publisher, Sequence: p.sequence, Prev: p.prev, Topic: []byte(p.topic)}
	switch p.topic {
	case topicRefused:
		r = journal.Record{Kind: journal.Tombstone, Publisher: s.publisher, Sequence: p.sequence, Prev: p.prev, Reason: []byte("bad topic")}
	case topicNothing:
		r.Kind, r.Topic = journal.Empty, nil
	default:
		r.Body = binary.LittleEndian.AppendUint64(nil, p.body)
	}
	s.acks.Took(p.sequence, true)
	switch s.append(&r) {
	case journal.Hole:
		s.i.w.counts.Holes++
		s.fail(reasonGap)
	case journal.Differs:
		s.i.w.oracle.violate("%s: %d|%d is there with other content", s.i.name, s.publisher, p.sequence)
		s.send(persistedPacket{sequence: p.sequence, failure: true})
	case journal.Duplicate:
		if p.sequence > s.i.links.Settled(s.publisher) {
			s.i.links.Waits(s.publisher, p.sequence)
		}
		s.acks.Duplicate(p.sequence, true)
	}
}

// append journals a record. What a journal that has failed says nobody hears.
func (s *session) append(r *journal.Record) journal.Verdict {
	v, err := s.i.j.Append(r)
	if err != nil {
		s.i.failed = err
		s.end()
	}
	return v
}

// pump sends what the watermarks and the journal allow.
func (s *session) pump() (busy bool) {
	s.lookForAnswers()
	if s.ended || !s.loggedOn {
		return false
	}
	if s.publisher != 0 {
		s.sendAcks()
	}
	for n := 0; n < len(s.subs) && !s.ended; n++ {
		busy = s.subs[n].deliver() || busy
	}
	return busy
}

func (s *session) sendAcks() {
	a := &s.acks
	if !a.Outstanding() && !a.Again && a.Safe >= a.Received {
		return
	}
	l := s.i.links
	safe, settled := l.Safe(s.publisher), l.Settled(s.publisher)
	for _, o := range a.Next(nil, safe, settled, s.i.j.Tombstones(s.publisher, a.Failed)) {
		if !o.Failure && !o.Single {
			s.i.w.oracle.acked(s.i, s.publisher, o.Sequence)
		}
		s.send(persistedPacket{sequence: o.Sequence, single: o.Single, failure: o.Failure})
	}
}

// beat says that we live, and finds out whether the client does.
func (s *session) beat() {
	if s.ended {
		return
	}
	if w := s.i.w; s.loggedOn && w.now-s.s.heard >= 2*clientBeat+linkBeat {
		s.end()
		return
	}
	s.send(beatPacket{})
}
