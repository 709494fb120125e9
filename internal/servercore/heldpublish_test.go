package servercore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/testkit/memledger"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

var (
	awaiting = memledger.GroupState{Grouped: true, Reachable: true, SyncPeers: []string{"b", "c"}, MustHoldPublish: true}
	answered = memledger.GroupState{Grouped: true, Reachable: true, SyncPeers: []string{"b", "c"}}
)

// A publish with a new number waits for the peers: it is not answered, and no later command is
// executed. A number that the ledger has does not wait. Once the peers have answered, no number
// waits (R11).
func TestNewNumberWaitsForPeers(t *testing.T) {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	first := s.publisher("x")
	if err := first.publish("a", 1, "1"); err != nil {
		t.Fatal(err)
	}
	l.SetGroup(awaiting)
	p := s.publisher("x")
	if err := p.publish("a", 1, "1"); err != nil || p.core.Deciding() {
		t.Fatalf("a duplicate waits: %v", err)
	}
	p.out()
	both := &wire.PublishCommand{CommandID: "2", Topic: "a", Acks: wire.AckReceived | wire.AckProcessed, Sequence: 2, Body: []byte("2")}
	if err := p.send(both); err != nil || !p.core.Deciding() || l.HeldPublishes() != 1 {
		t.Fatalf("%v, waits: %v, %d held", err, p.core.Deciding(), l.HeldPublishes())
	}
	p.want("received success")
	if err := p.publish("a", 3, "3"); err == nil {
		t.Error("a command behind a held publish is executed")
	}
	if err := p.core.Decide(s.now); err != nil || !p.core.Deciding() {
		t.Fatalf("appended before the peers have answered: %v", err)
	}
	l.SetGroup(answered)
	if err := p.core.Decide(s.now); err != nil || p.core.Deciding() || l.HeldPublishes() != 0 {
		t.Fatalf("%v, waits: %v, %d held", err, p.core.Deciding(), l.HeldPublishes())
	}
	p.want("processed success")
	l.SetGroup(awaiting) // a peer that connects later changes nothing
	if err := p.publish("a", 3, "3"); err != nil || p.core.Deciding() {
		t.Errorf("the next number waits: %v", err)
	}
	if have, _ := l.Have(bookmark.IdentityOfLife("x").ID); have != 3 {
		t.Errorf("have %d", have)
	}
}

// A rejected publish leaves a record, so it waits as well.
func TestRejectionWaitsForPeers(t *testing.T) {
	for name, reject := range map[string]func(p *client, m *wire.Message) error{
		"no such topic": func(p *client, m *wire.Message) error {
			m.Topic = []byte("none")
			return p.core.Execute(m, 0)
		},
		"too large": func(p *client, m *wire.Message) error { return p.core.TooLarge(m) },
		"refused":   func(p *client, m *wire.Message) error { return p.core.Refuse(m, "no") },
	} {
		t.Run(name, func(t *testing.T) {
			l := memledger.New()
			s := newHarness(t, l, l.Sync)
			l.SetGroup(awaiting)
			p := s.publisher("x")
			m := s.message(&wire.PublishCommand{Topic: "a", Sequence: 1})
			if err := reject(p, m); err != nil || !p.core.Deciding() {
				t.Fatalf("%v, waits: %v", err, p.core.Deciding())
			}
			l.SetGroup(answered)
			if err := p.core.Decide(s.now); err != nil || len(l.Tombstones(bookmark.IdentityOfLife("x").ID, 0)) != 1 {
				t.Errorf("%v, %v", err, l.Tombstones(bookmark.IdentityOfLife("x").ID, 0))
			}
		})
	}
}

// A session that ends with a held publish records nothing, and the publish no longer counts as
// waiting.
func TestHeldPublishOfEndingSession(t *testing.T) {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	l.SetGroup(awaiting)
	p := s.publisher("x")
	if err := p.publish("a", 1, "1"); err != nil {
		t.Fatal(err)
	}
	p.core.Fence()
	l.SetGroup(answered)
	if err := p.core.Decide(s.now); !errors.Is(err, servercore.ErrEnding) {
		t.Errorf("error %v", err)
	}
	q := s.publisher("y")
	l.SetGroup(awaiting)
	if err := q.publish("a", 1, "1"); err != nil || l.HeldPublishes() != 1 {
		t.Fatalf("%v, %d held", err, l.HeldPublishes())
	}
	s.inst.Registry.Remove(q.core)
	if have, _ := l.Have(bookmark.IdentityOfLife("x").ID); have != 0 || l.HeldPublishes() != 0 {
		t.Errorf("have %d, %d held", have, l.HeldPublishes())
	}
}

// An outbid session waits for no peer. It ends by itself if the notice of the peer that keeps the
// other session does not end it.
func TestOutbidSession(t *testing.T) {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	l.SetGroup(awaiting)
	p := s.publisher("x")
	if err := p.publish("a", 1, "1"); err != nil {
		t.Fatal(err)
	}
	if p.core.AddAnswers(ledger.Answers{Outbid: true}) {
		t.Error("the peers are not asked again")
	}
	if err := p.core.Decide(s.now); err != nil || l.HeldPublishes() != 0 {
		t.Fatalf("%v, %d held", err, l.HeldPublishes())
	}
	p.want()
	s.now = s.now.Add(3 * time.Second)
	if err := p.core.Decide(s.now); !errors.Is(err, servercore.ErrEnding) {
		t.Errorf("error %v", err)
	}
	p.want("processed failure reason="+wire.ReasonNameInUse, "end")
}

// An instance that keeps its session tells the asking peer that it is outbid. So does an instance
// that has answered a higher claim of a third instance, as long as that one is linked.
func TestNoticeAnswers(t *testing.T) {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	l.SetGroup(answered)
	p := s.connect()
	if _, err := p.logon("n", "x", 7, 0); err != nil {
		t.Fatal(err)
	}
	notice := func(life, instance string, counter uint64, wantOutbid bool) {
		t.Helper()
		n := ledger.Notice{ClientName: life, Publisher: bookmark.IdentityOfLife(life).ID, Check: bookmark.IdentityOfLife(life).Check, LogonCounter: counter, Instance: instance}
		if r := s.inst.OnNotice(n); r != (ledger.Reply{Outbid: wantOutbid}) {
			t.Errorf("%+v: %+v", n, r)
		}
	}
	notice("x", "b", 6, true)
	notice("x", "b", 8, false)
	notice("y", "b", 5, false)
	notice("y", "c", 4, true)
	notice("y", "b", 4, false) // b's session with the higher counter may have ended
	notice("y", "c", 5, false)
	notice("y", "b", 4, true)
	apart := answered
	apart.Reachable = false
	l.SetGroup(apart)
	notice("y", "b", 4, false)
}

// Of two plain sessions of one name the later one wins, even while a third instance is away that
// has not heard of the first one.
func TestLaterPlainSessionWithAThirdInstanceAway(t *testing.T) {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	l.SetGroup(answered)
	p := s.connect()
	if err := p.core.Execute(s.message(&wire.LogonCommand{CommandID: "0", ClientName: "n", Acks: wire.AckProcessed}), 0); err != nil {
		t.Fatal(err)
	}
	if p.core.AddAnswers(ledger.Answers{HaveByPeer: map[string]uint64{"b": 0}}) {
		t.Error("c is not asked again")
	}
	id := bookmark.IdentityOfName("n")
	n := ledger.Notice{ClientName: "n", Publisher: id.ID, Check: id.Check, Instance: "b"}
	if r := s.inst.OnNotice(n); r != (ledger.Reply{}) || p.core.State() != servercore.StateEnding {
		t.Errorf("%+v, the session that was here: %v", r, p.core.State())
	}
}
