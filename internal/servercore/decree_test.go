package servercore_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/testkit/memledger"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A publisher without a message uses a decree with its first one: an instance keeps nothing about
// a publisher that has no message (R4).
func TestDecreeIsUsedByTheFirstMessage(t *testing.T) {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	l.SetGroup(memledger.GroupState{Incarnation: 1, DecreeStands: true})
	x := bookmark.IdentityOfLife("x").ID
	c := s.connect()
	if wait, err := c.logon("x", "x", 1, 0); wait || err != nil {
		t.Fatal(wait, err)
	}
	if !l.DecreeUnused(x) {
		t.Error("a publisher without a message has used the decree")
	}
	if err := c.publish("a", 1, "1"); err != nil {
		t.Fatal(err)
	}
	if l.DecreeUnused(x) {
		t.Error("the first message has not used the decree")
	}
	again := s.connect()
	if _, err := again.logon("x", "x", 2, 9); err == nil {
		t.Error("a loss after the decree was used is declared lost")
	}
}

// Under a decree a publisher continues after its lost messages, once. Its client and the
// subscribers are told which messages are lost (R4).
func TestLostByDecree(t *testing.T) {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	x := bookmark.IdentityOfLife("x").ID
	if err := s.publisher("x").publish("a", 1, "1"); err != nil {
		t.Fatal(err)
	}
	s.sync()
	refused := func(counter, acked uint64) {
		t.Helper()
		c := s.connect()
		if _, err := c.logon("x", "x", counter, acked); err == nil {
			t.Error("a publisher that is ahead was let in")
		}
		c.want("processed failure reason=publish gap", "end")
	}
	refused(2, 7)
	l.SetGroup(memledger.GroupState{Incarnation: 1, DecreeStands: true})
	c := s.connect()
	if wait, err := c.logon("x", "x", 3, 7); wait || err != nil {
		t.Fatal(wait, err)
	}
	s.sync()
	c.want("processed success s=1 have=7 lost=2-7")
	if err := c.publish("a", 8, "8"); err != nil {
		t.Fatal(err)
	}
	if lost := l.LostRanges(x); fmt.Sprint(lost) != fmt.Sprint([]ledger.Range{{From: 2, To: 7}}) {
		t.Errorf("lost %v", lost)
	}
	s.sync()
	reader := s.publisher("reader")
	if err := reader.subscribe("1", "a", "0", "vector,bookmark_not_found=epoch"); err != nil {
		t.Fatal(err)
	}
	reader.want("processed success sub=1", "1: 1", fmt.Sprintf("processed success sub=1 gap=%d|2|7", x), "1: 8")
	refused(4, 9) // another loss, which the decree does not cover
	again := s.connect()
	if wait, err := again.logon("x", "x", 5, 8); wait || err != nil {
		t.Fatal(wait, err)
	}
	again.want("processed success s=8 have=8 lost=2-7") // until the client's stores have noted the incarnation
}

// A publisher is told of a loss that its own logon has found, even if its store knows the
// incarnation already: from another life, or from before this instance lost the messages.
func TestDecreeAlreadyMet(t *testing.T) {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	if err := s.publisher("x").publish("a", 1, "1"); err != nil {
		t.Fatal(err)
	}
	s.sync()
	l.SetGroup(memledger.GroupState{Incarnation: 1, DecreeStands: true})
	for life, want := range map[string][]string{"x": {"processed success s=1 have=5 lost=2-5"}, "y": {"processed success s=0 have=5 lost=1-5"}} {
		c := s.connect()
		cmd := wire.LogonCommand{
			CommandID: "0", ClientName: life, Acks: wire.AckProcessed, Ext: true, Store: life, Counter: 2,
			Acked: 5, Last: 5, Cluster: l.Cluster(), Incarnation: 1,
		}
		if err := c.send(&cmd); err != nil {
			t.Fatal(err)
		}
		_ = c.core.Decide(s.now)
		c.want(want...)
	}
}

// A publisher that lost nothing uses up the decree with its logon.
func TestDecreeUsedWithoutLoss(t *testing.T) {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	l.SetGroup(memledger.GroupState{Incarnation: 1, DecreeStands: true})
	if err := s.publisher("x").publish("a", 1, "1"); err != nil {
		t.Fatal(err)
	}
	c := s.connect()
	if _, err := c.logon("x", "x", 2, 7); err == nil {
		t.Error("a later loss was accepted under the decree")
	}
}

// The surviving peers are asked first. A peer that has more of the publisher sends it (R4).
func TestDecreeAsksPeers(t *testing.T) {
	for name, tt := range map[string]struct {
		answers ledger.Answers
		want    string
	}{
		"one is silent":       {ledger.Answers{}, ""},
		"nobody has more":     {ledger.Answers{SurvivorsAnswered: true, AllAnswered: true, EnoughAnswered: true}, "processed success s=0 have=7 lost=1-7"},
		"one has more":        {ledger.Answers{SurvivorsAnswered: true, AllAnswered: true, Have: 3}, "processed failure reason=publish gap"},
		"the decree was used": {ledger.Answers{SurvivorsAnswered: true, DecreeUsed: true, Have: 1}, "processed failure reason=publish gap"},
		"all survivors":       {ledger.Answers{SurvivorsAnswered: true}, "processed success s=0 have=7 lost=1-7"},
	} {
		t.Run(name, func(t *testing.T) {
			l := memledger.New()
			s := newHarness(t, l, l.Sync)
			l.SetGroup(memledger.GroupState{Incarnation: 1, DecreeStands: true, Grouped: true, Reachable: true})
			c := s.connect()
			if wait, err := c.logon("x", "x", 1, 7); !wait || err != nil {
				t.Fatal(wait, err)
			}
			c.core.AddAnswers(tt.answers)
			_ = c.core.Decide(s.now) // the result is in the output
			if got := c.out(); tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) == 0 || got[0] != tt.want) {
				t.Errorf("got %v, want %q", got, tt.want)
			}
		})
	}
}

// A client without our extensions also continues under the decree, if the instance knows it.
func TestPlainLostByDecree(t *testing.T) {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	publish := func(seq uint64, want error) {
		t.Helper()
		c := s.connect()
		logon := wire.LogonCommand{CommandID: "0", ClientName: "p", Acks: wire.AckProcessed}
		if err := c.core.Execute(s.message(&logon), 0); err != nil {
			t.Fatal(err)
		}
		if err := c.core.Decide(s.now); err != nil || c.core.Deciding() {
			t.Fatal(err)
		}
		if err := c.publish("a", seq, "m"); (err == nil) != (want == nil) {
			t.Errorf("publish %d: %v", seq, err)
		}
		s.sync()
	}
	publish(1, nil)
	publish(5, errGap)
	l.SetGroup(memledger.GroupState{Incarnation: 1, DecreeStands: true})
	publish(5, nil)
	publish(9, errGap)
}

var errGap = fmt.Errorf("a gap")

// An outdated instance serves no clients. A client that has seen a later incarnation is refused.
func TestOutdated(t *testing.T) {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	l.SetGroup(memledger.GroupState{Incarnation: 1})
	var reported []string
	s.inst.OnRefused = func(reason string) { reported = append(reported, reason) }
	for seen, refused := range []bool{false, false, true} {
		c := s.connect()
		cmd := wire.LogonCommand{CommandID: "0", ClientName: fmt.Sprint(seen), Acks: wire.AckProcessed, Ext: true, Incarnation: uint64(seen)}
		if err := c.core.Execute(s.message(&cmd), 0); (err != nil) != refused {
			t.Errorf("a client that has seen %d: %v", seen, err)
		}
		if refused {
			c.want("processed failure reason=incarnation", "end")
		}
	}
	if !slices.Equal(reported, []string{wire.ReasonIncarnation}) {
		t.Errorf("the instance reports the refusals %q", reported)
	}
	l.SetGroup(memledger.GroupState{OutdatedReason: "the group has gone on"})
	c := s.connect()
	if err := c.core.Execute(s.message(&wire.LogonCommand{CommandID: "0", ClientName: "x", Acks: wire.AckProcessed}), 0); err == nil {
		t.Error("an outdated instance serves a client")
	}
}
