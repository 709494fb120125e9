package replica

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A publish is held until each connected sync peer that counts has answered, and until the numbers
// of the peers that replicate here have arrived. It waits for no other peer (R11).
func TestMustHoldPublish(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		toB := to("b")
		toB.DowngradeAfter = time.Second
		a := w.start("a", toB, toAsync("c"))
		want := func(name string, hold bool, answers map[string]uint64) {
			t.Helper()
			if got := a.l.MustHoldPublish(7, answers); got != hold {
				t.Errorf("%s: must hold is %v", name, got)
			}
		}
		want("no peer is connected", false, nil)
		c := w.start("c", to("a"))
		w.linked(a, c)
		want("c is an asynchronous destination but sends synchronously", true, nil)
		b := w.start("b", to("a"))
		w.linked(a, b)
		a.publish(7, 1, 2)
		w.same(a, b)
		want("b has not answered", true, map[string]uint64{"c": 0})
		want("both have answered", false, map[string]uint64{"b": 2, "c": 0})
		want("b has more", true, map[string]uint64{"b": 3, "c": 0})
		w.Cut("a", "b")
		w.eventually("b is away", a.state("b", "down"))
		want("b is away", false, map[string]uint64{"b": 3, "c": 0})
		if !a.l.Linked("c") || a.l.Linked("b") || a.l.Linked("x") {
			t.Error("Linked is wrong")
		}
	})
}

// A held publish waits for the peers like a record. A peer that has not answered within
// downgrade_after is downgraded, and then the publish no longer waits for it (R5).
func TestHeldPublishWaits(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		toB := to("b")
		toB.DowngradeAfter = time.Second
		a, b := w.start("a", toB), w.start("b", to("a"))
		w.linked(a, b)
		releaseFirst, release := a.l.HoldPublish(), a.l.HoldPublish()
		releaseFirst()
		began := time.Now()
		w.eventually("downgraded", a.l.Single)
		if took := time.Since(began); took < time.Second || took > time.Second+100*time.Millisecond {
			t.Errorf("downgraded after %v", took)
		}
		if a.l.MustHoldPublish(7, nil) {
			t.Error("a publish is held for a downgraded peer")
		}
		release()
		release()
		w.eventually("counting again", func() bool { return !a.l.Single() })
		if !a.l.MustHoldPublish(7, nil) {
			t.Error("no publish is held for a peer that counts again")
		}
	})
}

// AskPeers reports early answers once the synchronous peers have answered. The others may take
// longer (R11).
func TestEarlyAnswers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", to("b"), toAsync("c"))
		b, c := w.start("b", to("a")), w.start("c")
		w.linked(a, b)
		w.eventually("c is linked", a.state("c", "live"))
		w.Pause("c")
		var early []Answers
		got := a.l.AskPeers(t.Context(), Notice{Publisher: 7}, func(x Answers) { early = append(early, x) })
		if len(early) != 1 || !same(early[0], Answers{Intact: true, EnoughAnswered: true, HaveByPeer: map[string]uint64{"b": 0}}) {
			t.Errorf("early answers: %+v", early)
		}
		if !same(got, early[0]) {
			t.Errorf("%+v when c was lost", got)
		}
		w.Resume("c")
		c.close()
	})
}

// When two connections of a pair cross, one of them ends because the other takes its place. Until
// then the peer counts neither as away for a logon nor for a publish, but for a second at most.
func TestCrossedConnections(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		w.Cut("a", "b") // before the end of the connection, so that no other one comes
		a.l.dests[0].conn.closeWith(&RefusedError{Code: refuseCrossed, Reason: "another connection takes its place", ByPeer: true})
		synctest.Wait()
		if a.l.Linked("b") {
			t.Fatal("the link is up")
		}
		if !a.l.Reachable() || !a.l.MustHoldPublish(7, nil) {
			t.Error("the peer counts as away although another connection takes its place")
		}
		pass(time.Second)
		if a.l.Linked("b") || a.l.Reachable() || a.l.MustHoldPublish(7, nil) {
			t.Error("the peer does not count as away after a second without a connection")
		}
		pass(remindCheck)
		want := []string{EventPeerBack, EventPeerLost} // the end is told because no other connection came
		if got := a.events.kinds("b"); !slices.Equal(got, want) || !strings.Contains(a.log.String(), "link is down") {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}
