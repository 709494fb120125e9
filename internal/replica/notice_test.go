package replica

import "testing"

// When all peers have answered at once, the logon gets the complete answers only. It is not told
// first that enough peers have answered, since it would take the answers for incomplete.
func TestAllIsNotTakenForEnough(t *testing.T) {
	for range 50_000 {
		q, early := newPendingNotice(), make(chan bool)
		go func() {
			<-q.enough
			early <- !isClosed(q.done)
		}()
		q.closeIfAnswered()
		if <-early {
			t.Fatal("nobody is left who has not answered, and it was told that somebody is")
		}
	}
}
