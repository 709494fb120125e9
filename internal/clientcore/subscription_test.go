package clientcore

import (
	"errors"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

var here, there = &Server{Address: "a", Instance: "a", Peers: []string{"b"}}, &Server{Address: "b", Instance: "b", Peers: []string{"a"}}

func subscription(t *testing.T, change ...func(*Request)) *Subscription {
	t.Helper()
	s := &Subscription{Request: Request{ID: "s", Topic: "orders", Start: bookmark.EpochText}}
	for _, c := range change {
		c(&s.Request)
	}
	if s.Start == "" {
		return s
	}
	if err := s.Open(bookmarkstore.NewMemory()); err != nil {
		t.Fatal(err)
	}
	return s
}

func attach(t *testing.T, s *Subscription, to *Server, id string) wire.SubscribeCommand {
	t.Helper()
	cmd, err := s.Attach(to, id, s.Received(), epoch)
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

// answer handles the answer to a subscribe, and applies its effect to the store.
func answer(t *testing.T, s *Subscription, by *Server, id string, m wire.Message) Effect {
	t.Helper()
	if m.Status == nil {
		m.Status = text(wire.StatusSuccess)
	}
	e, err := s.HandleAnswer(by, id, &m, s.Received())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(&e); err != nil {
		t.Fatal(err)
	}
	return e
}

// arrive returns the verdict about a message, and whether it is queued.
func arrive(s *Subscription, id string, fits bool, publisher, sequence uint64) (Verdict, bool) {
	b := bookmark.Bookmark{Publisher: publisher, Sequence: sequence}
	v := s.Admit(id, b, fits)
	return v, s.Receive(v, b) && s.MayQueue()
}

// The first answer has the base. From then on the subscription resumes with its received vector.
func TestResume(t *testing.T) {
	s := subscription(t)
	if cmd := attach(t, s, here, "1"); cmd.Bookmark != bookmark.EpochText || cmd.Options != "vector" || cmd.SubID != "1" {
		t.Errorf("first subscribe: %+v", cmd)
	}
	if e := answer(t, s, here, "1", wire.Message{Bookmark: text("7|3|")}); !e.Answered || e.Base[7] != 3 || e.Gap || e.End != nil {
		t.Errorf("%+v", e)
	}
	if _, queued := arrive(s, "1", true, 7, 4); !queued {
		t.Error("a message was not queued")
	}
	if _, queued := arrive(s, "1", true, 7, 4); queued {
		t.Error("it was queued twice")
	}
	e, err := s.HandleMark(here, "1", &wire.Message{Bookmark: text("9|5|")})
	if err != nil || e.Progress[9] != 5 {
		t.Errorf("%+v, %v", e, err)
	}
	if err := s.Apply(&e); err != nil {
		t.Error(err)
	}
	s.ConnectionLost()
	if v, _ := arrive(s, "1", true, 7, 5); v != VerdictIgnore {
		t.Errorf("a message of the previous connection: %v", v)
	}
	if cmd := attach(t, s, there, "2"); cmd.Bookmark != "7|4|,9|5|" {
		t.Errorf("resumes at %s", cmd.Bookmark)
	}
}

// A full queue pauses the subscription. Once the queue is empty, it subscribes again, and the
// server sends the dropped messages again (R12).
func TestOverrun(t *testing.T) {
	s := subscription(t)
	attach(t, s, here, "1")
	answer(t, s, here, "1", wire.Message{Bookmark: text("0")})
	arrive(s, "1", true, 7, 1)
	if v, queued := arrive(s, "1", false, 7, 2); v != VerdictPause || queued || !s.Paused() {
		t.Errorf("verdict %v, queued %v", v, queued)
	}
	if v, _ := arrive(s, "1", true, 7, 3); v != VerdictIgnore {
		t.Errorf("a message of the tail: verdict %v", v)
	}
	if e, err := s.HandleMark(here, "1", &wire.Message{Bookmark: text("7|3|")}); err != nil || e.Progress != nil {
		t.Errorf("a mark of the tail: %+v, %v", e, err)
	}
	s.ConnectionLost()
	if s.Detached() {
		t.Error("a paused subscription waits for a connection")
	}
	if !s.QueueEmptied() || s.QueueEmptied() || !s.Detached() {
		t.Error("the emptied queue does not resume the subscription once")
	}
	if cmd := attach(t, s, here, "2"); cmd.Bookmark != "7|1|" {
		t.Errorf("resumes at %s", cmd.Bookmark)
	}
}

func TestSlowPolicy(t *testing.T) {
	plain := func(p SlowPolicy) *Subscription {
		s := subscription(t, func(r *Request) { r.Start, r.SlowPolicy = "", p })
		attach(t, s, here, "1")
		return s
	}
	if v := plain(SlowPolicy{DropOldest: true}).AdmitWhenFull(true, epoch); v != VerdictDropOldest {
		t.Errorf("drop oldest: %v", v)
	}
	if v := plain(SlowPolicy{}).AdmitWhenFull(false, epoch); v != VerdictTooSlow {
		t.Errorf("at once: %v", v)
	}
	s := plain(SlowPolicy{Wait: time.Second})
	for _, tt := range []struct {
		fits, farOver bool
		after         time.Duration
		want          Verdict
	}{
		{false, false, 0, VerdictTake},
		{false, false, time.Second, VerdictTake},
		{true, false, 2 * time.Second, VerdictTake},
		{false, false, 2 * time.Second, VerdictTake},
		{false, false, 3 * time.Second, VerdictTake},
		{false, false, 3*time.Second + 1, VerdictTooSlow},
		{false, true, 0, VerdictTooSlow},
	} {
		v := s.Admit("1", bookmark.Bookmark{}, tt.fits)
		if v == VerdictFull {
			v = s.AdmitWhenFull(tt.farOver, epoch.Add(tt.after))
		}
		if v != tt.want {
			t.Errorf("%+v: verdict %v", tt, v)
		}
	}
}

// A subscription stays at its server if no link carries its topic (R3).
func TestNotReplicated(t *testing.T) {
	notReplicated := wire.Message{Bookmark: text("0"), Reason: text(wire.ReasonNotReplicated)}
	for _, allowed := range []bool{false, true} {
		s := subscription(t, func(r *Request) { r.AllowUnreplicated = allowed })
		attach(t, s, here, "1")
		if e := answer(t, s, here, "1", notReplicated); e.End != nil {
			t.Errorf("at the first server: %v", e.End)
		}
		s.ConnectionLost()
		if _, err := s.Attach(there, "2", s.Received(), epoch); allowed != (err == nil) {
			t.Errorf("allowed %v: %v", allowed, err)
		}

		s = subscription(t, func(r *Request) { r.AllowUnreplicated = allowed })
		attach(t, s, here, "1")
		answer(t, s, here, "1", wire.Message{Bookmark: text("0")})
		s.ConnectionLost()
		attach(t, s, there, "2")
		if e := answer(t, s, there, "2", notReplicated); allowed != (e.End == nil) || e.End != nil && !errors.Is(e.End, ErrNotReplicated) {
			t.Errorf("allowed %v, after a move: %v", allowed, e.End)
		}
	}
}

func TestHeldBack(t *testing.T) {
	s := subscription(t)
	attach(t, s, here, "1")
	for _, tt := range []struct {
		level              string
		heldBack, released bool
	}{{"", false, false}, {wire.LevelSingle, true, false}, {wire.LevelSingle, false, false}, {"", false, true}} {
		e, err := s.HandleMark(here, "1", &wire.Message{Level: text(tt.level)})
		if err != nil || e.HeldBack != tt.heldBack || e.Released != tt.released {
			t.Errorf("level %q: %+v, %v", tt.level, e, err)
		}
	}
}

func TestEnd(t *testing.T) {
	s := subscription(t)
	if id := s.End(); id != "" || !s.Ended() {
		t.Errorf("ended as %q", id)
	}
	s = subscription(t)
	attach(t, s, here, "1")
	if s.Unanswered(time.Second, epoch.Add(time.Second-1)) || !s.Unanswered(time.Second, epoch.Add(time.Second)) {
		t.Error("unanswered before a second, or not after it")
	}
	if id := s.End(); id != "1" || s.Detached() || s.OnWire("1") {
		t.Errorf("ended as %q", id)
	}
	s.ConnectionLost()
	if s.Detached() {
		t.Error("an ended subscription waits for a connection")
	}
}
