package replica

import "testing"

// When all peers have answered at once, the logon gets the complete answers only. It must not hear
// first that enough peers have answered, because it would take the answers for incomplete.
func TestDoneBeforeEnough(t *testing.T) {
	for range 50_000 {
		q, early := newPendingNotice(), make(chan bool)
		go func() {
			<-q.enough
			early <- !isClosed(q.done)
		}()
		q.closeIfAnswered()
		if <-early {
			t.Fatal("early answers although every peer has answered")
		}
	}
}
