package replica

import (
	"testing"
	"time"
)

// A number waits for each connected sync peer that counts, and until the numbers of the peers that
// replicate here have arrived. It waits for nobody else (R11).
func TestAwaits(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		toB := to("b")
		toB.DowngradeAfter = time.Second
		a := w.start("a", toB, toAsync("c"))
		want := func(what string, awaits bool, answers map[string]uint64) {
			t.Helper()
			if got := a.l.MustHoldPublish(7, answers); got != awaits {
				t.Errorf("%s: awaits is %v", what, got)
			}
		}
		want("nobody is there", false, nil)
		c := w.start("c", to("a"))
		w.linked(a, c)
		want("c is fed asynchronously, but sends synchronously", true, nil)
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
			t.Error("who is linked is wrong")
		}
	})
}

// A publish that is held back waits for the peers like a record. A peer that has not answered by
// downgrade_after is downgraded, and then no longer waited for (R5).
func TestAHeldPublishWaits(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		toB := to("b")
		toB.DowngradeAfter = time.Second
		a, b := w.start("a", toB), w.start("b", to("a"))
		w.linked(a, b)
		first, release := a.l.HoldPublish(), a.l.HoldPublish()
		first()
		began := time.Now()
		w.eventually("downgraded", a.l.Single)
		if took := time.Since(began); took < time.Second || took > time.Second+100*time.Millisecond {
			t.Errorf("downgraded after %v", took)
		}
		if a.l.MustHoldPublish(7, nil) {
			t.Error("a downgraded peer is waited for")
		}
		release()
		release()
		w.eventually("counting again", func() bool { return !a.l.Single() })
		if !a.l.MustHoldPublish(7, nil) {
			t.Error("a peer that counts again is not waited for")
		}
	})
}

// Enough peers have answered when the synchronous ones have. The others may take their time (R11).
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
