package clientcore

import (
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

func TestSupportsNotFound(t *testing.T) {
	for version, want := range map[string]bool{
		"5.3.5.0": true, "5.3.5": true, "5.3.10.1": true, "5.4.0.0": true, "6.0": true,
		"5.3.4.9": false, "5.2.1.17.717892.e742467": false, "5.3": false, "4.9.9.9": false, "": false, "develop": false, "5.x.5": false,
	} {
		if got := supportsNotFound(version); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}

// A refusal that names a message by command id or number rejects that message. A refusal without
// either has no effect if nothing is in flight. It does not end the session.
func TestPlainRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, id string
		sequence uint64
		sent     bool
		want     EventKind
	}{
		{"by id", "1002", 0, true, EventRejected},
		{"by number", "", 1002, true, EventRejected},
		{"by an id of another command", "12", 0, true, EventNone},
		{"by an id that is not a number", "x", 0, true, EventNone},
		{"nothing in flight", "", 0, false, EventNone},
	} {
		life := pubstore.Life{ID: "a", Last: 3}
		s := NewSession([]pubstore.Life{life}, 10, 1000, time.Minute)
		s.server.Plain, s.accepted = true, true
		s.pub.BeginConnection(life, false)
		s.pub.HandleLogon(life, LogonAnswer{Safe: 1000, Now: 5})
		if tt.sent {
			s.pub.Reserve(1, 10)
			s.pub.Reserve(2, 10)
		}
		e, err := s.HandleAck(&wire.Message{
			Command: wire.Ack, Acks: wire.AckProcessed, CommandID: text(tt.id), Sequence: tt.sequence, HasSequence: tt.sequence > 0,
			Status: text(wire.StatusFailure), Reason: text("parse error"),
		})
		if err != nil || e.Kind != tt.want || e.Kind == EventRejected && e.Rejection.Sequence != 2 {
			t.Errorf("%s: %+v, %v", tt.name, e, err)
		}
	}
}

// A mark of a plain server is ignored if it would add one publisher too many, or if it names no
// message. It does not end the subscription.
func TestPlainMarkWithoutRoom(t *testing.T) {
	s := Subscription{Request: Request{ID: "x", Topic: "t", Start: "0", MaxPublishers: 1}}
	if err := s.Open(bookmarkstore.NewMemory()); err != nil {
		t.Fatal(err)
	}
	at := Server{Plain: true}
	if _, err := s.Attach(&at, "1", s.Received(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if e, err := s.HandleAnswer(&at, "1", &wire.Message{Status: text(wire.StatusSuccess)}, s.Received()); err != nil || e.End != nil {
		t.Fatalf("%+v, %v", e, err)
	}
	s.HandleCompleted("1")
	for _, tt := range []struct{ bm, progress string }{
		{"0|1|", ""}, {"7|0|", ""}, {"nonsense", ""}, {"7|3|", "7|3|"}, {"8|3|", ""}, {"7|4|", "7|4|"},
	} {
		e, err := s.HandleMark(&at, "1", &wire.Message{Bookmark: text(tt.bm)})
		if err != nil || e.End != nil || (e.Progress != nil) != (tt.progress != "") || e.Progress != nil && e.Progress.String() != tt.progress {
			t.Errorf("%s: %+v, %v", tt.bm, e, err)
		}
	}
}
