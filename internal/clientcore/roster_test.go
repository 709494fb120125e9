package clientcore

import (
	"errors"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// The place of a subscription names three publishers at most; whatever a server
// says beyond that ends the subscription, and the place stays as it was.
func TestTooManyPublishers(t *testing.T) {
	const most = 3
	mark := func(vector string) func(*testing.T, *Subscription) error {
		return func(t *testing.T, s *Subscription) error {
			e, err := s.Mark(here, "1", &wire.Message{Bookmark: text(vector)})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Keep(&e); err != nil {
				t.Fatal(err)
			}
			return e.End
		}
	}
	message := func(publisher, sequence uint64) func(*testing.T, *Subscription) error {
		return func(_ *testing.T, s *Subscription) error {
			if v, _ := arrive(s, "1", true, publisher, sequence); v != Crowd {
				return nil
			}
			return s.TooMany()
		}
	}
	for _, tt := range []struct {
		name, base string
		then       []func(*testing.T, *Subscription) error
		place      string
		tooMany    bool // at the last
	}{
		{"base", "1|1|,2|1|,3|1|,4|1|", nil, "0", true},
		{"as many as there may be", "1|1|,2|1|", []func(*testing.T, *Subscription) error{mark("1|2|,3|1|"), message(1, 3), mark("2|2|,3|2|,1|4|")}, "1|4|,2|2|,3|2|", false},
		{"one mark", "0", []func(*testing.T, *Subscription) error{mark("1|1|,2|1|,3|1|,4|1|")}, "0", true},
		{"one mark after the other", "1|1|", []func(*testing.T, *Subscription) error{mark("2|1|"), mark("3|1|"), mark("4|1|,1|7|")}, "1|1|,2|1|,3|1|", true},
		{"messages", "1|1|,2|1|", []func(*testing.T, *Subscription) error{message(2, 2), message(3, 1), message(4, 1)}, "1|1|,2|2|,3|1|", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := subscription(t, func(r *Request) { r.Publishers = most })
			attach(t, s, here, "1")
			end := answer(t, s, here, "1", wire.Message{Bookmark: text(tt.base)}).End
			for _, then := range tt.then {
				if end != nil {
					t.Fatalf("ended too early: %v", end)
				}
				end = then(t, s)
			}
			e, tooMany := errors.AsType[*PublishersError](end)
			if tooMany != tt.tooMany || tooMany && e.Limit != most {
				t.Errorf("ended with %v", end)
			}
			if have := s.Received(); have.Vector.String() != tt.place {
				t.Errorf("the place is %v, want %s", have.Vector, tt.place)
			}
		})
	}
}

// A place stays so small that it fits into one command of the server: one that
// does not is never resumed again.
func TestPlaceFitsIntoACommand(t *testing.T) {
	small := &Server{Address: "small", Longest: 70 << 10}
	s := subscription(t)
	attach(t, s, small, "1")
	answer(t, s, small, "1", wire.Message{Bookmark: text("0")})
	var end error
	for n := uint64(1); end == nil && n < 1000; n++ {
		e, err := s.Mark(small, "1", &wire.Message{Bookmark: text(bookmark.Vector{1<<63 + n: n}.String())})
		if err != nil {
			t.Fatal(err)
		}
		if end = e.End; end == nil {
			if err := s.Keep(&e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if e, ok := errors.AsType[*PublishersError](end); !ok || e.Bytes != small.Longest {
		t.Fatalf("ended with %v", end)
	}
	s.Lost()
	cmd := attach(t, s, small, "2")
	if frame := cmd.AppendTo(nil); len(frame) > small.Longest || len(cmd.Bookmark) < 4<<10 {
		t.Errorf("the resume has %d bytes, a command may have %d", len(frame), small.Longest)
	}
	s.Lost()
	if _, err := s.Attach(&Server{Address: "smaller", Longest: 66 << 10}, "3", s.Received(), epoch); err == nil {
		t.Error("subscribed at a server that does not take the command")
	}
}
