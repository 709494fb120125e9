package replica

import (
	"testing"
	"testing/synctest"
)

// Two instances stop at the same moment. Each waits until it has heard that the other one waits
// for no more acks.
func TestDrainTogether(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		stoppedA, stoppedB := a.l.Drain(), b.l.Drain()
		noneDrainingB := b.l.Drained() // a's report may not have arrived yet
		synctest.Wait()
		if isDone(noneDrainingB) {
			t.Fatal("b leaves while a waits for acks")
		}
		noneDrainingA := a.l.Drained()
		synctest.Wait()
		if !isDone(noneDrainingA) || !isDone(noneDrainingB) {
			t.Errorf("a may end: %v, b: %v", isDone(noneDrainingA), isDone(noneDrainingB))
		}
		if isDone(stoppedA) || isDone(stoppedB) {
			t.Error("one counts as gone while it is linked")
		}
		b.close()
		w.eventually("a hears that b has stopped", func() bool { return isDone(stoppedA) })
	})
}

// An instance that stops alone waits for nobody. A lost link does not mean that the peer has
// stopped.
func TestDrainAlone(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		stopped, noneDraining := a.l.Drain(), a.l.Drained()
		synctest.Wait()
		if !isDone(noneDraining) || isDone(stopped) {
			t.Errorf("may end: %v, without acks: %v", isDone(noneDraining), isDone(stopped))
		}
		w.Cut("a", "b")
		w.eventually("the link is lost", a.state("b", "down"))
		if isDone(stopped) {
			t.Error("a peer that was cut off counts as stopped")
		}
		w.Heal("a", "b")
	})
}

func isDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
