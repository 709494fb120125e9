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
		desertedA, desertedB := a.l.Drain(), b.l.Drain()
		aloneB := b.l.Drained() // a's report may not have arrived yet
		synctest.Wait()
		if isDone(aloneB) {
			t.Fatal("b leaves while a waits for acks")
		}
		aloneA := a.l.Drained()
		synctest.Wait()
		if !isDone(aloneA) || !isDone(aloneB) {
			t.Errorf("a may end: %v, b: %v", isDone(aloneA), isDone(aloneB))
		}
		if isDone(desertedA) || isDone(desertedB) {
			t.Error("one counts as gone while it is linked")
		}
		b.close()
		w.eventually("a hears that b has stopped", func() bool { return isDone(desertedA) })
	})
}

// An instance that stops alone waits for nobody. A lost link does not mean that the peer has
// stopped.
func TestDrainAlone(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		deserted, alone := a.l.Drain(), a.l.Drained()
		synctest.Wait()
		if !isDone(alone) || isDone(deserted) {
			t.Errorf("may end: %v, without acks: %v", isDone(alone), isDone(deserted))
		}
		w.Cut("a", "b")
		w.eventually("the link is lost", a.state("b", "down"))
		if isDone(deserted) {
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
