package client_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// stretch returns the frame of a stretch of messages of publisher 5.
func stretch(t testing.TB, ids string, at int64, sequences ...uint64) []byte {
	t.Helper()
	var s wire.OpenStretch
	frame := s.Begin(nil, []byte(ids))
	for _, n := range sequences {
		raw, err := record.Append(nil, &record.Record{
			Kind: record.Message, Publisher: 5, Sequence: n, Prev: n - 1, Topic: []byte("orders"), Body: []byte(body(n)),
			CorrelationID: []byte("x"), SOWKey: []byte("the publisher's"), User: []byte("joe"),
		})
		if err != nil {
			t.Fatal(err)
		}
		frame = s.Add(frame, at, raw)
	}
	return frame
}

// A stretch has the same effect as separate deliveries: each of its subscriptions gets each message
// once, in order, with the same fields.
func TestStretch(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		one := subscribe(t, c, client.From(client.Epoch), client.WithTime())
		ss, _ := srv.logon(0, 0)
		m1 := ss.acceptSubscribe("0")
		s1 := must(t, one)
		two := subscribe(t, c, client.From(client.Epoch))
		m2 := ss.acceptSubscribe("0")
		s2 := must(t, two)
		both := string(m1.SubID) + "," + string(m2.SubID)
		at := time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC)
		ss.send(stretch(t, both, at.UnixMicro(), sequenceRange(1, 100)...))
		ss.send(stretch(t, string(m2.SubID), 0, 100, 101, 102))
		ss.send(stretch(t, "99, "+string(m1.SubID), 0, 101))
		ss.deliver(m1, 102)
		for m, err := range s1.Messages(testContext(t)) {
			if err != nil {
				t.Fatal(err)
			}
			if m.Topic != "orders" || string(m.Body) != body(1) || m.SOWKey != "" || m.CorrelationID != "x" || m.UserID != "joe" ||
				m.Time != at || m.Bookmark != (client.Bookmark{Publisher: 5, Sequence: 1}) {
				t.Errorf("%+v", m)
			}
			break
		}
		for _, s := range []*client.Subscription{s1, s2} {
			if got := read(t, s, 102); !slices.Equal(got, bodies(sequenceRange(1, 102)...)) {
				t.Errorf("read %q", got)
			}
			if n := s.Stats().Queued; n != 0 {
				t.Errorf("%d more", n)
			}
		}
		if st := s2.Stats(); st.Duplicates != 1 {
			t.Errorf("stats %+v", st)
		}
	})
}

// Messages that do not fit into the queue are requested again, from the end of the queue on.
func TestStretchOverruns(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.QueueMessages = 70
		c := start(t, cfg)
		sub := subscribe(t, c, client.From(client.Epoch))
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("0")
		s := must(t, sub)
		ss.send(stretch(t, string(m.SubID), 0, sequenceRange(1, 100)...))
		ss.expect(wire.Unsubscribe)
		if st := s.Stats(); st.Queued != 70 || st.Pauses != 1 || !st.Paused {
			t.Errorf("stats %+v", st)
		}
		if got := read(t, s, 70); !slices.Equal(got, bodies(sequenceRange(1, 70)...)) {
			t.Errorf("read %q", got)
		}
		next := make(chan []string)
		go func() { next <- read(t, s, 30) }()
		if m = ss.acceptSubscribe("5|70|"); string(m.Bookmark) != "5|70|" {
			t.Errorf("goes on at %s", m.Bookmark)
		}
		ss.send(stretch(t, string(m.SubID), 0, sequenceRange(71, 100)...))
		if got := <-next; !slices.Equal(got, bodies(sequenceRange(71, 100)...)) {
			t.Errorf("read %q", got)
		}
	})
}

// A subscription with SlowDropOldest takes the messages of a stretch in place of the oldest.
func TestStretchDropsOldest(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.QueueMessages = 3
		c := start(t, cfg)
		sub := subscribe(t, c, client.WhenSlow(client.SlowDropOldest()))
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("")
		s := must(t, sub)
		ss.send(stretch(t, string(m.SubID), 0, sequenceRange(1, 10)...))
		synctest.Wait()
		if st := s.Stats(); st.Queued != 3 || st.Dropped != 7 {
			t.Errorf("stats %+v", st)
		}
		if got := read(t, s, 3); !slices.Equal(got, bodies(8, 9, 10)) {
			t.Errorf("read %q", got)
		}
	})
}

// An invalid stretch ends the connection. The messages before the invalid place are delivered.
func TestBadStretch(t *testing.T) {
	for name, spoil := range map[string]func(frame []byte, body int) []byte{
		"cut":          func(frame []byte, _ int) []byte { return frame[:len(frame)-1] },
		"unknown kind": func(frame []byte, body int) []byte { frame[len(frame)-body/2+12] = 0x7f; return frame },
		"no message":   func(frame []byte, body int) []byte { frame[len(frame)-body/2+12] = byte(record.Empty); return frame },
		"length":       func(frame []byte, body int) []byte { frame[len(frame)-body/2+3] = 0x7f; return frame },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, n *memnet.Network) {
				srv := listen(t, n, "a")
				cfg := config(n, "a")
				reasons := make(chan error, 10)
				cfg.Hooks.Disconnected = func(_ string, err error) { reasons <- err }
				c := start(t, cfg)
				sub := subscribe(t, c, client.From(client.Epoch))
				ss, _ := srv.logon(0, 0)
				m := ss.acceptSubscribe("0")
				s := must(t, sub)
				frame := stretch(t, string(m.SubID), 0, 1, 2)
				var parsed wire.Message
				if err := wire.Parse(frame[4:], &parsed); err != nil {
					t.Fatal(err)
				}
				frame = spoil(frame, len(parsed.Body))
				frame[2], frame[3] = byte((len(frame)-4)>>8), byte(len(frame)-4)
				ss.send(frame)
				if err := <-reasons; !errors.Is(err, client.ErrProtocol) || !strings.Contains(err.Error(), "malformed stretch") {
					t.Errorf("it ended with %v", err)
				}
				if got := read(t, s, 1); !slices.Equal(got, bodies(1)) {
					t.Errorf("read %q", got)
				}
				srv.logon(0, 0)
			})
		})
	}
}
