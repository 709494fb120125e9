package replica

import "testing"

// A logon whose question all have answered is told all answers at once, not
// first that those have answered who count: it would take the answers for incomplete.
func TestAllIsNotTakenForEnough(t *testing.T) {
	for range 50_000 {
		q, early := newQuestion(), make(chan bool)
		go func() {
			<-q.enough
			early <- !isClosed(q.done)
		}()
		q.look()
		if <-early {
			t.Fatal("nobody is left who has not answered, and it was told that somebody is")
		}
	}
}
