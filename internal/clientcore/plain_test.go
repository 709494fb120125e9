package clientcore

import (
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

func TestKnowsNotFound(t *testing.T) {
	for version, want := range map[string]bool{
		"5.3.5.0": true, "5.3.5": true, "5.3.10.1": true, "5.4.0.0": true, "6.0": true,
		"5.3.4.9": false, "5.2.1.17.717892.e742467": false, "5.3": false, "4.9.9.9": false, "": false, "develop": false, "5.x.5": false,
	} {
		if got := knowsNotFound(version); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}

// A refusal that names a message by command id or number rejects that message. A refusal
// without either concerns no message if nothing is in flight, and does not end the session.
func TestPlainRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, id string
		sequence uint64
		sent     bool
		want     Kind
	}{
		{"by id", "1002", 0, true, Rejected},
		{"by number", "", 1002, true, Rejected},
		{"by an id of another command", "12", 0, true, Nothing},
		{"by an id that is none of ours", "x", 0, true, Nothing},
		{"of nothing in flight", "", 0, false, Nothing},
	} {
		life := pubstore.Life{ID: "a", Last: 3}
		s := NewSession([]pubstore.Life{life}, 10, 1000, time.Minute)
		s.server.Plain, s.accepted = true, true
		s.pub.Expect(life, false)
		s.pub.Begin(life, LogonAnswer{Safe: 1000, Now: 5})
		if tt.sent {
			s.pub.Write(1, 10)
			s.pub.Write(2, 10)
		}
		e, err := s.Take(&wire.Message{
			Command: wire.Ack, Acks: wire.AckProcessed, CommandID: text(tt.id), Sequence: tt.sequence, HasSequence: tt.sequence > 0,
			Status: text(wire.StatusFailure), Reason: text("parse error"),
		})
		if err != nil || e.Kind != tt.want || e.Kind == Rejected && e.Rejection.Sequence != 2 {
			t.Errorf("%s: %+v, %v", tt.name, e, err)
		}
	}
}

// A mark of a plain server that would add one publisher too many, or that names none, is
// ignored and ends nothing.
func TestPlainMarkWithoutRoom(t *testing.T) {
	s := Subscription{Request: Request{ID: "x", Topic: "t", Start: "0", Publishers: 1}}
	if err := s.Open(bookmarkstore.NewMemory()); err != nil {
		t.Fatal(err)
	}
	at := Server{Plain: true}
	if _, err := s.Attach(&at, "1", s.Received(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if e, err := s.Answer(&at, "1", &wire.Message{Status: text(wire.StatusSuccess)}, s.Received()); err != nil || e.End != nil {
		t.Fatalf("%+v, %v", e, err)
	}
	s.Completed("1")
	for _, tt := range []struct{ bm, shown string }{
		{"0|1|", ""}, {"7|0|", ""}, {"nonsense", ""}, {"7|3|", "7|3|"}, {"8|3|", ""}, {"7|4|", "7|4|"},
	} {
		e, err := s.Mark(&at, "1", &wire.Message{Bookmark: text(tt.bm)})
		if err != nil || e.End != nil || (e.Shown != nil) != (tt.shown != "") || e.Shown != nil && e.Shown.String() != tt.shown {
			t.Errorf("%s: %+v, %v", tt.bm, e, err)
		}
	}
}
