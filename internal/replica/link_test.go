package replica

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/record"
)

func TestCheckPeer(t *testing.T) {
	hello := func(name string, run uint64) *Hello {
		return &Hello{Name: name, Run: run, Group: "g", Digest: "d", Outbound: true}
	}
	for _, tt := range []struct {
		name   string
		change func(us, peer *Hello)
		expect string
		want   string // expected in the reason; empty: no refusal
	}{
		{"good", func(us, peer *Hello) {}, "b", ""},
		{"accepted", func(us, peer *Hello) {}, "", ""},
		{"itself", func(us, peer *Hello) { *peer = *us }, "b", "itself"},
		{"same name", func(us, peer *Hello) { peer.Name = us.Name }, "b", "another instance"},
		{"no name", func(us, peer *Hello) { peer.Name = "" }, "", "no name"},
		{"not configured", func(us, peer *Hello) { peer.Name = "stranger" }, "", "neither a destination nor a peer"},
		{"another instance answers", func(us, peer *Hello) { peer.Name = "c" }, "b", "expected"},
		{"group", func(us, peer *Hello) { peer.Group = "h" }, "b", "group"},
		{"digest", func(us, peer *Hello) { peer.Digest = "e" }, "b", "digest"},
		{"no direction", func(us, peer *Hello) { us.Outbound, peer.Outbound = false, false }, "b", "neither"},
		{"one direction", func(us, peer *Hello) { us.Outbound, us.Topics = false, nil; peer.Topics = []string{"x"} }, "", ""},
		{"topics differ", func(us, peer *Hello) { us.Topics = []string{"x"}; peer.Topics = []string{"y"} }, "b", "equal"},
		{"all and some", func(us, peer *Hello) { us.Topics = []string{"x"} }, "b", "equal"},
		{"topics are equal", func(us, peer *Hello) { us.Topics = []string{"x"}; peer.Topics = []string{"x"} }, "b", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			us, peer := hello("a", 1), hello("b", 2)
			tt.change(us, peer)
			checkRefusal(t, CheckPeer(us, peer, tt.expect, peer.Name != "stranger"), tt.want)
		})
	}
}

func TestCheckInboundTopics(t *testing.T) {
	peer := &Hello{Name: "b", Outbound: true, Topics: []string{"x"}}
	checkRefusal(t, CheckInboundTopics(peer, "c", []string{"x"}), "")
	checkRefusal(t, CheckInboundTopics(peer, "c", nil), "all links into an instance")
	checkRefusal(t, CheckInboundTopics(peer, "b", nil), "") // b's own earlier connection
	checkRefusal(t, CheckInboundTopics(&Hello{Name: "b"}, "c", []string{"x"}), "")
}

func checkRefusal(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	var r *RefusedError
	if !errors.As(err, &r) || r.Code != refuseHello || !strings.Contains(r.Reason, want) {
		t.Errorf("error %v, want a refusal of hello with %q", err, want)
	}
}

func TestReplaces(t *testing.T) {
	for _, tt := range []struct {
		newer, older string
		want         bool
	}{{"a", "b", true}, {"b", "a", false}, {"a", "a", true}, {"b", "b", true}} {
		if got := Replaces(tt.newer, tt.older); got != tt.want {
			t.Errorf("Stays(%s, %s) = %v", tt.newer, tt.older, got)
		}
	}
}

func TestExceedsHold(t *testing.T) {
	for _, tt := range []struct {
		end, acked journal.Position
		hold       int64
		want       bool
	}{{100, 0, 100, false}, {101, 0, 100, true}, {101, 1, 100, false}, {1, 2, 0, false}, {1, 2, 5, false}} {
		if got := ExceedsHold(tt.end, tt.acked, tt.hold); got != tt.want {
			t.Errorf("Beyond(%v, %v, %d) = %v", tt.end, tt.acked, tt.hold, got)
		}
	}
}

func TestDecide(t *testing.T) {
	carries := func(topic []byte) bool { return string(topic) == "in" }
	for _, tt := range []struct {
		name    string
		record  journal.Record
		durable uint64
		want    Decision
	}{
		{"the peer has it", journal.Record{Kind: journal.Message, Sequence: 5, Prev: 4, Topic: []byte("in")}, 5, Skip},
		{"the peer has it, another topic", journal.Record{Kind: journal.Message, Sequence: 5, Prev: 4, Topic: []byte("out")}, 5, Skip},
		{"next", journal.Record{Kind: journal.Message, Sequence: 6, Prev: 5, Topic: []byte("in")}, 0, Send},
		{"behind a refused one", journal.Record{Kind: journal.Message, Sequence: 8, Prev: 5, Topic: []byte("in")}, 0, Send},
		{"behind a hole", journal.Record{Kind: journal.Message, Sequence: 8, Prev: 7, Topic: []byte("in")}, 9, SendFloor},
		{"another topic, not durable", journal.Record{Kind: journal.Message, Sequence: 6, Prev: 5, Topic: []byte("out")}, 5, WaitDurable},
		{"another topic, durable", journal.Record{Kind: journal.Message, Sequence: 6, Prev: 5, Topic: []byte("out")}, 6, SendElsewhere},
		{"a tombstone of another topic", journal.Record{Kind: journal.Tombstone, Sequence: 6, Prev: 5, Topic: []byte("out")}, 0, Send},
		{"empty", journal.Record{Kind: journal.Empty, Sequence: 6, Prev: 5}, 0, Send},
		{"gone", journal.Record{Kind: journal.Gone, Sequence: 9}, 0, Send},
		{"elsewhere", journal.Record{Kind: journal.Elsewhere, Sequence: 9, Prev: 5}, 0, Send},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := linkTo(&Hello{States: []journal.PublisherState{{Publisher: 1, Have: 5, Durable: 3}}}, carries)
			tt.record.Publisher = 1
			if got := l.Decide(&tt.record, tt.durable); got != tt.want {
				t.Errorf("decision %v, want %v", got, tt.want)
			}
		})
	}
}

func TestLinkDoesNotEcho(t *testing.T) {
	l := linkTo(&Hello{}, nil)
	r := journal.Record{Kind: journal.Message, Publisher: 1, Sequence: 3, Prev: 2}
	l.Raise(bm(1, 3))
	l.Raise(bm(1, 2))
	if got := l.Decide(&r, 0); got != Skip {
		t.Errorf("decision %v on a record that the peer has", got)
	}
}

func TestGoneMarkers(t *testing.T) {
	l := linkTo(&Hello{States: []journal.PublisherState{{Publisher: 1, Have: 5}, {Publisher: 2, Have: 9}}}, nil)
	if got := l.Decide(&journal.Record{Publisher: 3, Sequence: 1}, 0); got != AddCheck {
		t.Errorf("decision %v on the first record of a publisher", got)
	}
	gone := l.GoneMarkers([]journal.PublisherState{
		{Publisher: 1, Have: 8, Floor: 7},
		{Publisher: 2, Have: 9, Floor: 9},
		{Publisher: 3, Have: 4, Floor: 4, RunningCRC: 77},
		{Publisher: 4, Have: 4},
	})
	if len(gone) != 2 {
		t.Fatalf("%d markers, want those of 1 and 3: %v", len(gone), gone)
	}
	for i, want := range []journal.Record{
		{Kind: journal.Gone, Publisher: 1, Sequence: 7, Prev: 5},
		{Kind: journal.Gone, Publisher: 3, Sequence: 4, RunningCRC: 77},
	} {
		got := gone[i]
		if got.Kind != want.Kind || got.Publisher != want.Publisher || got.Sequence != want.Sequence ||
			got.Prev != want.Prev || got.RunningCRC != want.RunningCRC {
			t.Errorf("marker %d: %+v, want %+v", i, got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	var r Refusals
	if r.Refused() {
		t.Error("down after one refusal")
	}
	r.Progressed()
	if r.Refused() || r.Down() {
		t.Error("down after one refusal since progress")
	}
	if !r.Refused() || !r.Down() {
		t.Error("not down after two in a row")
	}
}

func TestRejoin(t *testing.T) {
	const s = time.Second
	hello := func(name string, have ...uint64) *Hello {
		h := &Hello{Name: name, Outbound: true}
		for i, n := range have {
			h.States = append(h.States, journal.PublisherState{Publisher: uint64(i + 1), Have: n, Durable: n})
		}
		return h
	}
	for _, tt := range []struct {
		name    string
		damaged bool
		do      func(r *Rejoin)
		at      time.Duration
		want    Outcome
	}{
		{"no peer is awaited", false, func(r *Rejoin) {}, 0, CaughtUp},
		{"not met", false, func(r *Rejoin) { r.Await("b", true) }, 10*s - 1, Waiting},
		{"never met", false, func(r *Rejoin) { r.Await("b", true) }, 10 * s, TimedOut},
		{"an async peer is awaited, too", false, func(r *Rejoin) { r.Await("b", false) }, 10*s - 1, Waiting},
		{"has nothing", false, func(r *Rejoin) { r.Await("b", true); r.Hello(s, hello("b")) }, s, CaughtUp},
		{"has what we have", false, func(r *Rejoin) {
			r.Await("b", true)
			r.Hello(s, hello("b", 5))
			r.Reached(bm(1, 5))
		}, s, CaughtUp},
		{"has only records that our hello contains", true, func(r *Rejoin) {
			r.Await("b", true)
			r.Hello(s, hello("b", 5))
			r.NotExpected("b", bm(1, 5))
		}, 20 * s, CaughtUp},
		{"has more", false, func(r *Rejoin) {
			r.Await("b", true)
			r.Hello(s, hello("b", 5, 3))
			r.Reached(bm(1, 5))
		}, s, Waiting},
		{"sends it", false, func(r *Rejoin) {
			r.Await("b", true)
			r.Hello(s, hello("b", 5))
			r.Appended(2*s, bm(1, 5))
		}, 2 * s, CaughtUp},
		{"sends some", false, func(r *Rejoin) {
			r.Await("b", true)
			r.Hello(s, hello("b", 5))
			r.Appended(9*s, bm(1, 4))
		}, 19*s - 1, Waiting},
		{"stalls", false, func(r *Rejoin) {
			r.Await("b", true)
			r.Hello(s, hello("b", 5))
			r.Appended(9*s, bm(1, 4))
		}, 19 * s, TimedOut},
		{"says hello again and again", false, func(r *Rejoin) {
			r.Await("b", true)
			for i := range time.Duration(10) {
				r.Hello(i*s, hello("b", 5))
			}
		}, 10 * s, TimedOut},
		{"sends records that no hello contained", false, func(r *Rejoin) {
			r.Await("b", true)
			r.Hello(0, hello("b", 5))
			r.Appended(9*s, bm(2, 4))
		}, 10 * s, TimedOut},
		{"comes back with less", false, func(r *Rejoin) {
			r.Await("b", true)
			r.Hello(s, hello("b", 5))
			r.Hello(2*s, hello("b"))
		}, 2 * s, CaughtUp},
		{"one of two is away", false, func(r *Rejoin) {
			r.Await("b", true)
			r.Await("c", true)
			r.Hello(s, hello("b"))
		}, 10 * s, TimedOut},
		{"one is away while the other sends", false, func(r *Rejoin) {
			r.Await("b", true)
			r.Await("c", true)
			r.Hello(s, hello("b", 9))
			r.Appended(9*s, bm(1, 1))
		}, 12 * s, Waiting},
		{"sends us nothing", false, func(r *Rejoin) {
			r.Await("b", true)
			h := hello("b", 5)
			h.Outbound = false
			r.Hello(s, h)
		}, s, CaughtUp},
		{"a peer that isn't awaited", false, func(r *Rejoin) { r.Hello(s, hello("c", 5)) }, s, Waiting},
		{"damaged: waits without a bound", true, func(r *Rejoin) { r.Await("b", true) }, time.Hour, Waiting},
		{"damaged and alone", true, func(r *Rejoin) {}, time.Hour, Waiting},
		{"damaged: stalls", true, func(r *Rejoin) { r.Await("b", true); r.Hello(s, hello("b", 5)) }, time.Hour, Waiting},
		{"damaged: sent", true, func(r *Rejoin) {
			r.Await("b", true)
			r.Hello(s, hello("b", 5))
			r.Appended(s, bm(1, 5))
		}, s, CaughtUp},
		{"damaged: an async peer doesn't delay it", true, func(r *Rejoin) {
			r.Await("b", true)
			r.Await("c", false)
			r.Hello(s, hello("b"))
		}, 10 * s, TimedOut},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := NewRejoin(10*s, tt.damaged)
			tt.do(r)
			if got := r.Outcome(tt.at); got != tt.want {
				t.Errorf("outcome %v, want %v", got, tt.want)
			}
			if at, ok := r.Due(tt.at); tt.want == Waiting && !tt.damaged && (!ok || at <= tt.at) {
				t.Errorf("waits at %v, and is due at %v %v", tt.at, at, ok)
			}
		})
	}
}

// Of two damaged journals neither gives up a record while the other may still find it.
func TestRejoinBothDamaged(t *testing.T) {
	r := NewRejoin(10*time.Second, true)
	r.Await("b", true)
	r.Hello(0, &Hello{Name: "b", Outbound: true, Damaged: true, States: []journal.PublisherState{{Publisher: 1, Have: 79, Durable: 79}}})
	r.Reached(bm(1, 49))
	r.Reached(bm(2, 9)) // b lacks it
	want := func(when string, o Outcome) {
		t.Helper()
		if got := r.Outcome(time.Hour); got != o {
			t.Fatalf("%s: outcome %v, want %v", when, got, o)
		}
	}
	have := bookmark.Vector{1: 49, 2: 9}
	r.Heartbeat("b", true, false, true, nil, have)
	want("it has more", Waiting)
	r.Appended(1, bm(1, 79))
	r.Appended(1, bm(1, 100)) // found among the records that were set aside
	r.Heartbeat("b", true, false, true, nil, have)
	want("it lacks ours", Waiting)
	r.Acked("b", bm(2, 9))
	r.Acked("b", bm(1, 100))
	want("no heartbeat yet", Waiting)
	have = bookmark.Vector{1: 100, 2: 9}
	r.Heartbeat("b", true, false, true, []bookmark.Bookmark{bm(2, 20)}, have) // found behind ours
	want("it has found more", Waiting)
	r.Appended(2, bm(2, 20))
	r.Acked("b", bm(2, 20))
	r.Heartbeat("b", true, true, true, nil, have)
	want("it has more to say", Waiting)
	r.Heartbeat("b", true, false, true, nil, have)
	want("neither has more", CaughtUp)
}

// An echo is a part of the journal that a peer has sent without interruption. Records between two
// such parts may be of another peer, and are read.
func TestNoteEcho(t *testing.T) {
	var c conn
	for _, tt := range []struct{ from, to, wantFrom, wantTo journal.Position }{
		{0, 100, 0, 100},
		{100, 150, 0, 150},
		{180, 200, 180, 200},
		{200, 300, 180, 300},
		{300, 300, 180, 300},
	} {
		if c.noteEcho(tt.from, tt.to); c.echo != (span{tt.wantFrom, tt.wantTo}) {
			t.Errorf("from %d to %d: %+v, want from %d to %d", tt.from, tt.to, c.echo, tt.wantFrom, tt.wantTo)
		}
	}
}

// SendRun accepts the messages that Decide would send, and the peer counts as having them.
func TestSendRun(t *testing.T) {
	run := func(topics ...string) (all []record.OrdinaryMessage) {
		for i, topic := range topics {
			r := message(1, uint64(5+i), "x")
			r.Topic = []byte(topic)
			raw, err := record.Append(nil, r)
			if err != nil {
				t.Fatal(err)
			}
			o, _ := record.AsOrdinary(raw)
			all = append(all, o)
		}
		return all
	}
	notB := func(topic []byte) bool { return string(topic) != "b" }
	for _, tt := range []struct {
		name    string
		have    bookmark.Vector
		carries func(topic []byte) bool
		topics  []string
		want    int
	}{
		{"the next ones", bookmark.Vector{1: 4}, nil, []string{"a", "b", "a"}, 3},
		{"nothing", bookmark.Vector{1: 4}, nil, nil, 0},
		{"an unknown publisher", bookmark.Vector{2: 4}, nil, []string{"a"}, 0},
		{"the peer has the first one", bookmark.Vector{1: 5}, nil, []string{"a", "a"}, 0},
		{"the peer lacks one before", bookmark.Vector{1: 3}, nil, []string{"a"}, 0},
		{"up to a topic that is not carried", bookmark.Vector{1: 4}, notB, []string{"a", "a", "b", "a"}, 2},
		{"a topic that is not carried", bookmark.Vector{1: 4}, notB, []string{"b", "a"}, 0},
	} {
		l := &Link{have: tt.have, carries: tt.carries}
		had := l.have[1]
		if got := l.SendRun(run(tt.topics...)); got != tt.want || l.have[1] != had+uint64(got) {
			t.Errorf("%s: %d of a run, want %d; it has %d", tt.name, got, tt.want, l.have[1])
		}
	}
}

// linkTo returns a link that has begun with a hello.
func linkTo(peer *Hello, carries func(topic []byte) bool) *Link {
	l := new(Link)
	l.Begin(peer, carries)
	return l
}
