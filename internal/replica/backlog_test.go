package replica

import (
	"testing"
	"time"
)

// The messages that wait for the peer are counted, and the oldest of each publisher is named with
// how long it has waited.
func TestBacklog(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a", downgrading("b")), w.start("b", downgrading("a"))
		w.linked(a, b)
		a.publish(1, 1, 5)
		w.eventually("safe", func() bool { return a.l.Safe(1) == 5 })
		if got := a.l.Backlog(); got.Publishers != 0 || got.Messages != 0 || got.Oldest != 0 || len(got.Worst) != 0 {
			t.Errorf("all is acknowledged: %+v", got)
		}
		w.Cut("a", "b")
		pass(time.Second)
		a.publish(1, 6, 7)
		pass(3 * time.Second)
		a.publish(1, 8, 8)
		for p := range uint64(2 * MaxBehind) {
			a.publish(10+p, 1, p+1)
		}
		pass(7 * time.Second) // b is downgraded, and away
		got := a.l.Backlog()
		if got.Publishers != 1+2*MaxBehind || got.Messages != 3+MaxBehind*(2*MaxBehind+1) || got.Oldest != 10*time.Second {
			t.Errorf("%+v", got)
		}
		if n := len(got.Worst); n != MaxBehind || got.Worst[0].Publisher != 10+2*MaxBehind-1 || got.Worst[0].Unacknowledged != 2*MaxBehind ||
			got.Worst[n-1].Unacknowledged != MaxBehind+1 || got.Worst[0].Oldest != 1 || got.Worst[0].Waits != 7*time.Second {
			t.Errorf("%d: %+v", n, got.Worst)
		}
		one := a.l.Waits(a.j.StatesFrom(1, 1))[0]
		if one.Have != 8 || one.Safe != 0 || one.Settled != 8 || one.Unacknowledged != 3 || one.Oldest != 6 || one.Waits != 10*time.Second {
			t.Errorf("%+v", one)
		}
		w.Heal("a", "b")
		w.eventually("b has everything", func() bool { return a.l.Backlog().Publishers == 0 })
	})
	inWorld(t, func(t *testing.T, w *world) { // an asynchronous destination keeps nobody waiting
		a := w.start("a", async("b"))
		a.publish(1, 1, 5)
		w.eventually("durable", func() bool { return a.l.Settled(1) == 5 })
		if got := a.l.Backlog(); got.Publishers != 0 || got.Oldest != 0 {
			t.Errorf("%+v", got)
		}
	})
}
