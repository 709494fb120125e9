package client

import (
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/clientcore"
)

// The queue overruns, and the application empties it before the client has acted on that. The
// application's goroutine must subscribe again, because nothing else would (R12).
func TestOverrunWhileEmptied(t *testing.T) {
	cn := new(conn)
	s := &Subscription{cn: cn}
	s.core.Request = clientcore.Request{ID: "s", Topic: "orders"}
	if err := s.core.Open(bookmarkstore.NewMemory()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.core.Attach(&cn.server, "1", clientcore.Received{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	s.queue.maxMessages, s.queue.maxBytes = 1, 1000
	run := []arrival{{bookmark: Bookmark{Publisher: 5, Sequence: 1}}}
	if taken, got := s.admit(cn, "1", run); taken != 1 || got != clientcore.VerdictTake {
		t.Fatalf("the first message: verdict %d", got)
	}
	s.pushLocked(&run[0])
	if taken, got := s.admit(cn, "1", run); taken != 0 || got != clientcore.VerdictPause {
		t.Fatalf("the second message: verdict %d", got)
	}
	if d, emptied, err := s.takeNext(nil); d.m == nil || emptied || err != nil {
		t.Errorf("took %v, emptied %v, %v", d.m, emptied, err)
	}
	if d, emptied, err := s.takeNext(nil); d.m != nil || !emptied || err != nil {
		t.Errorf("took %v, emptied %v, %v; want the report that the queue overran", d.m, emptied, err)
	}
	if st := s.Stats(); st.Pauses != 1 {
		t.Errorf("stats %+v", st)
	}
}
