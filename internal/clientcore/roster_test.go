package clientcore

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// The place of a subscription may name three publishers. If a server reports more, the
// subscription ends and the place stays as it was.
func TestTooManyPublishers(t *testing.T) {
	const limit = 3
	mark := func(vector string) func(*testing.T, *Subscription) error {
		return func(t *testing.T, s *Subscription) error {
			e, err := s.HandleMark(here, "1", &wire.Message{Bookmark: text(vector)})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Apply(&e); err != nil {
				t.Fatal(err)
			}
			return e.End
		}
	}
	closed := func(vector string) func(*testing.T, *Subscription) error {
		return func(t *testing.T, s *Subscription) error {
			e, err := s.HandleMark(here, "1", &wire.Message{Reason: text(wire.ReasonPublisherClosed), Bookmark: text(vector)})
			if err != nil || e.ClosedPublishers == nil {
				t.Fatal(e, err)
			}
			return s.Apply(&e)
		}
	}
	message := func(publisher, sequence uint64) func(*testing.T, *Subscription) error {
		return func(_ *testing.T, s *Subscription) error {
			if v, _ := arrive(s, "1", true, publisher, sequence); v != VerdictTooManyPublishers {
				return nil
			}
			return s.CheckPublishers()
		}
	}
	for _, tt := range []struct {
		name, base string
		steps      []func(*testing.T, *Subscription) error
		place      string
		tooMany    bool // after the last step
	}{
		{"base", "1|1|,2|1|,3|1|,4|1|", nil, "0", true},
		{"as many as allowed", "1|1|,2|1|", []func(*testing.T, *Subscription) error{mark("1|2|,3|1|"), message(1, 3), mark("2|2|,3|2|,1|4|")}, "1|4|,2|2|,3|2|", false},
		{"one mark", "0", []func(*testing.T, *Subscription) error{mark("1|1|,2|1|,3|1|,4|1|")}, "0", true},
		{"several marks", "1|1|", []func(*testing.T, *Subscription) error{mark("2|1|"), mark("3|1|"), mark("4|1|,1|7|")}, "1|1|,2|1|,3|1|", true},
		{"messages", "1|1|,2|1|", []func(*testing.T, *Subscription) error{message(2, 2), message(3, 1), message(4, 1)}, "1|1|,2|2|,3|1|", true},
		{"a closed publisher makes room", "1|1|,2|1|,3|1|", []func(*testing.T, *Subscription) error{closed("1|1|,9|1|"), message(4, 1)}, "2|1|,3|1|,4|1|", false},
		{"a closed publisher comes back", "1|1|,2|1|,3|1|", []func(*testing.T, *Subscription) error{closed("1|1|"), message(1, 2), message(4, 1)}, "1|2|,2|1|,3|1|", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := subscription(t, func(r *Request) { r.MaxPublishers = limit })
			attach(t, s, here, "1")
			end := answer(t, s, here, "1", wire.Message{Bookmark: text(tt.base)}).End
			for _, step := range tt.steps {
				if end != nil {
					t.Fatalf("ended too early: %v", end)
				}
				end = step(t, s)
			}
			e, tooMany := errors.AsType[*TooManyPublishersError](end)
			if tooMany != tt.tooMany || tooMany && e.Limit != limit {
				t.Errorf("ended with %v", end)
			}
			if have := s.Received(); have.Vector.String() != tt.place {
				t.Errorf("the place is %v, want %s", have.Vector, tt.place)
			}
		})
	}
}

// With a plain server a place stays small enough for one command. A larger place could never be
// resumed.
func TestPlaceFitsIntoACommand(t *testing.T) {
	plain := &Server{Address: "plain", Plain: true, MaxCommand: 70 << 10}
	s := subscription(t)
	attach(t, s, plain, "1")
	answer(t, s, plain, "1", wire.Message{})
	n := uint64(1)
	for ; n < 1000; n++ {
		if v, _ := arrive(s, "1", true, 1<<63+n, n); v == VerdictTooManyPublishers {
			break
		}
	}
	if e, ok := errors.AsType[*TooManyPublishersError](s.CheckPublishers()); !ok || e.Bytes != plain.MaxCommand || n < 100 {
		t.Fatalf("at publisher %d: %v", n, s.CheckPublishers())
	}
	s.ConnectionLost()
	cmd := attach(t, s, plain, "2")
	if frame := cmd.AppendTo(nil); len(frame) > plain.MaxCommand || len(cmd.Bookmark) < 4<<10 {
		t.Errorf("the resume has %d bytes, a command may have %d", len(frame), plain.MaxCommand)
	}
	s.ConnectionLost()
	if _, err := s.Attach(&Server{Address: "smaller", Plain: true, MaxCommand: 66 << 10}, "3", s.Received(), epoch); err == nil {
		t.Error("subscribed at a server that does not take a command of this length")
	}
}

// inParts returns the messages of an answer in parts.
func inParts(t *testing.T, a *wire.AckMessage) (all []wire.Message) {
	t.Helper()
	for rest := a.AppendTo(nil); len(rest) > 0; {
		size := 4 + int(binary.BigEndian.Uint32(rest))
		var m wire.Message
		if err := wire.Parse(rest[4:size], &m); err != nil {
			t.Fatal(err)
		}
		all, rest = append(all, m), rest[size:]
	}
	return all
}

// numbered returns a vector of n publishers.
func numbered(n uint64) bookmark.Vector {
	v := make(bookmark.Vector)
	for p := range n {
		v[1<<63+p] = p + 1
	}
	return v
}

// A base in parts takes effect with its last part. Until then the subscription has not started,
// so it starts again after a lost connection.
func TestBaseInParts(t *testing.T) {
	base := numbered(5000)
	s := subscription(t, func(r *Request) { r.Start = bookmark.NowText })
	for _, id := range []string{"1", "2"} {
		if cmd := attach(t, s, here, id); cmd.Bookmark != bookmark.NowText {
			t.Fatalf("subscribed after %.100s", cmd.Bookmark)
		}
		all := inParts(t, &wire.AckMessage{CommandID: id, Type: wire.AckProcessed, Success: true, SubID: id, Bookmark: base.String()})
		for _, m := range all[:len(all)-1] {
			if e := answer(t, s, here, id, m); e.Answered || e.Base != nil || e.End != nil {
				t.Fatalf("a part has an effect: %+v", e)
			}
		}
		if id == "1" {
			s.ConnectionLost()
			continue
		}
		if e := answer(t, s, here, id, all[len(all)-1]); !e.Answered || e.End != nil || len(e.Base) != len(base) {
			t.Fatalf("after the last part: %d publishers, %v", len(e.Base), e.End)
		}
	}
	if have := s.Received(); have.Vector.String() != base.String() {
		t.Errorf("the place names %d publishers, want %d", len(have.Vector), len(base))
	}
	s.ConnectionLost()
	cmd := attach(t, s, here, "3")
	if frames := cmd.AppendTo(nil); cmd.Bookmark != base.String() || int(binary.BigEndian.Uint32(frames)) > wire.MaxHeader {
		t.Error("the resume is not in parts")
	}
}

// A base with a missing part, or with parts of another base, ends the connection. A base with
// more publishers than allowed ends the subscription.
func TestBaseInPartsThatDoesNotFit(t *testing.T) {
	ack := &wire.AckMessage{CommandID: "1", Type: wire.AckProcessed, Success: true, SubID: "1", Bookmark: numbered(5000).String()}
	s := subscription(t)
	attach(t, s, here, "1")
	all := inParts(t, ack)
	for _, m := range slices.Delete(slices.Clone(all[:len(all)-1]), 1, 2) {
		answer(t, s, here, "1", m)
	}
	if _, err := s.HandleAnswer(here, "1", &all[len(all)-1], s.Received()); !errors.Is(err, ErrProtocol) {
		t.Errorf("a missing part: %v", err)
	}
	if _, known := s.Place().Received(); known {
		t.Error("the subscription has a base")
	}

	s = subscription(t, func(r *Request) { r.MaxPublishers = 2000 })
	attach(t, s, here, "1")
	var end error
	for _, m := range all {
		if end == nil {
			end = answer(t, s, here, "1", m).End
		}
	}
	if e, ok := errors.AsType[*TooManyPublishersError](end); !ok || e.Limit != 2000 {
		t.Errorf("ended with %v", end)
	}
	if _, known := s.Place().Received(); known {
		t.Error("the subscription has a base")
	}
}

// A list of gaps that is too long for one frame comes in parts, too.
func TestGapsInParts(t *testing.T) {
	s, alone := subscriptionAt(t, numbered(5000)), server("a")
	attach(t, s, alone, "1")
	var gaps []wire.Gap
	for p, n := range numbered(5000) {
		gaps = append(gaps, wire.Gap{Publisher: p, From: n + 1, To: n + 2})
	}
	sortGaps(gaps)
	all := inParts(t, &wire.AckMessage{CommandID: "1", Type: wire.AckProcessed, Reason: wire.ReasonBookmarkNotFound, SubID: "1", Gap: string(wire.AppendGaps(nil, gaps))})
	var e Effect
	for _, m := range all {
		if e.Gap || e.OffWire {
			t.Fatalf("a part has an effect: %+v", e)
		}
		e = answer(t, s, alone, "1", m)
	}
	if !e.Gap || !slices.Equal(e.Gaps, gaps) || len(all) < 3 {
		t.Errorf("%d gaps in %d frames, want %d", len(e.Gaps), len(all), len(gaps))
	}
}
