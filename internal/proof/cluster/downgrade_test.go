package cluster_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/server"
)

// unsettled checks that a flush doesn't end within d, and returns how many
// messages it says are on their way.
func wantUnsettled(s *cluster.System, flush func(context.Context) error, d time.Duration) int {
	s.TB.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	err := flush(ctx)
	var u *client.PendingError
	if !errors.As(err, &u) {
		s.TB.Errorf("a flush returned %v, want an *UnsettledError", err)
		return 0
	}
	return u.Messages
}

// One instance is dead and no downgrade_after is set. However long it takes,
// nothing is acknowledged, at any level; a subscriber of the other one gets the
// messages all the same, as they are on that one's disk. The ack comes when the
// dead one is back (G2, R5, R13).
func TestNoAckWithoutThePeer(t *testing.T) {
	cluster.Run(t, nil, func(s *cluster.System) {
		a, b := s.Node("a"), s.Node("b")
		pub := s.App("pub", []string{"a"}, nil)
		r := s.App("sub", []string{"a"}, nil).Read("orders", true, client.From(client.Epoch))
		pub.PublishN("orders", 1, 5)
		pub.FlushSafe()
		b.Kill()
		pub.PublishN("orders", 6, 20)
		wantBodies(s, "the local subscriber", r.AwaitN(20), cluster.Bodies("pub", 1, 20))
		if n := wantUnsettled(s, pub.Client.Flush, 10*time.Minute); n != 15 {
			t.Errorf("%d messages are on their way, want 15", n)
		}
		if n := acked(pub); n != 5 || a.Server.Status().Single {
			t.Errorf("let go up to %d, acks are single: %v", n, a.Server.Status().Single)
		}
		wantNoEvent(s, pub, "downgraded")

		b.Start()
		s.AwaitSync()
		pub.FlushSafe()
		if n := acked(pub); n != 20 {
			t.Errorf("let go up to %d when both have 20", n)
		}
		wantJournals(s, cluster.Bodies("pub", 1, 20))
	})
}

// With downgrade_after the acks come after that time and are single: Flush returns,
// FlushSafe does not, the store keeps the messages and the application is told. Neither a
// new logon nor a restart of the application or of the instance makes them safe: s of the
// logon ack is not above the content of the dead peer's disk. When the peer is back they
// are safe, and the application is told (G2, R5).
func TestSingleUntilThePeerIsBack(t *testing.T) {
	for _, tt := range []struct {
		name  string
		logon func(s *cluster.System, pub *cluster.App)
	}{
		{"connection lost", func(s *cluster.System, pub *cluster.App) { s.Net.Reset("pub", "a") }},
		{"application restarted", func(_ *cluster.System, pub *cluster.App) {
			pub.Kill()
			pub.Restart()
		}},
		{"instance restarted", func(s *cluster.System, _ *cluster.App) { s.Node("a").Restart() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cluster.Run(t, downgradeAfter(3*time.Second), func(s *cluster.System) {
				b := s.Node("b")
				pub := s.App("pub", []string{"a"}, nil)
				pub.PublishN("orders", 1, 5)
				pub.FlushSafe()
				b.Kill()
				start := time.Now()
				pub.PublishN("orders", 6, 20)
				pub.Flush()
				s.Advance(time.Millisecond) // hooks come after
				if took := time.Since(start); took < 3*time.Second || took > 4*time.Second {
					t.Errorf("acknowledged after %v, downgrade_after is 3s", took)
				}
				wantKept(s, pub, 5, 15)
				if !slices.Contains(pub.Events(), "downgraded true") {
					t.Errorf("the application was not told of the downgrade: %v", pub.Events())
				}

				connects := pub.Client.Stats().Logons
				tt.logon(s, pub)
				s.Await("another logon", func() bool {
					st := pub.Client.Stats()
					return st.State == client.StateLive && (st.Logons > connects || tt.name == "application restarted")
				})
				s.Advance(time.Second)
				wantKept(s, pub, 5, 15)
				pub.PublishN("orders", 21, 30)
				pub.Flush()
				wantKept(s, pub, 5, 25)

				b.Start()
				s.AwaitSync()
				pub.FlushSafe()
				s.Advance(time.Millisecond)
				wantKept(s, pub, 30, 0)
				if events := pub.Events(); !slices.Contains(events, "downgraded false") {
					t.Errorf("the application was not told that acks are safe again: %v", events)
				}
				wantJournals(s, cluster.Bodies("pub", 1, 30))
			})
		})
	}
}

// kept checks how far a store has let go and how many messages it keeps.
func wantKept(s *cluster.System, app *cluster.App, upTo, messages int) {
	s.TB.Helper()
	if got, n := acked(app), app.Store.Usage().Messages; got != upTo || n != messages {
		s.TB.Errorf("%s let go up to %d and keeps %d messages, want %d and %d", app.Name, got, n, upTo, messages)
	}
}

// The peer's acks have come, and those of the instance to the publisher have not, when
// the peer dies and its disk is lost. At its next logon the publisher is told the present
// safe number, which is 0: the peer's disk may be empty. So it keeps its messages. When
// the instance, the only holder, dies with its disk too, nothing is lost (G2, R2).
func TestLogonSaysWhatIsSafeNow(t *testing.T) {
	for _, left := range []time.Duration{0, 2 * time.Second} {
		t.Run("downgrade_after "+left.String(), func(t *testing.T) {
			cluster.Run(t, downgradeAfter(left), func(s *cluster.System) {
				a, b := s.Node("a"), s.Node("b")
				pub := s.App("pub", []string{"a", "b"}, nil)
				pub.AwaitServer("a")
				s.Net.CutOneWay("a", "pub")
				pub.PublishN("orders", 1, 20)
				s.Advance(500 * time.Millisecond) // the peer has them on its disk, and has said so
				if acked(pub) != 0 {
					t.Fatal("acks have come through a cut")
				}
				b.PowerCut()
				if got := len(b.Bodies()); got != 20 {
					t.Fatalf("the peer had %d messages on its disk: the test proves nothing", got)
				}
				b.Wipe()
				s.Net.Reset("pub", "a")
				s.Heal("pub", "a")
				pub.AwaitServer("a")
				s.Advance(5 * time.Second)
				wantKept(s, pub, 0, 20)

				a.Kill()
				a.Wipe()
				a.Start()
				b.Start()
				s.AwaitSync()
				pub.FlushSafe()
				wantJournals(s, cluster.Bodies("pub", 1, 20))
			})
		})
	}
}

// The only holder of messages acknowledged single dies with its disk, and the
// publisher's process dies too. Nothing is lost: the store keeps them, and they
// are replayed when an instance that may take them is there (R5, R4, G1).
func TestOnlyHolderWiped(t *testing.T) {
	for _, first := range []string{"a", "b"} {
		t.Run(first+" first", func(t *testing.T) {
			cluster.Run(t, downgradeAfter(time.Second), func(s *cluster.System) {
				a, b := s.Node("a"), s.Node("b")
				pub := s.App("pub", []string{"a", "b"}, nil)
				pub.AwaitServer("a")
				pub.PublishN("orders", 1, 5)
				pub.FlushSafe()
				b.Kill()
				pub.PublishN("orders", 6, 20)
				pub.Flush()
				a.Kill()
				a.Wipe()
				pub.Kill()
				pub.Restart()
				wantKept(s, pub, 5, 15)
				if first == "a" {
					a.Start()
					s.Advance(time.Second)
					b.Start()
				} else {
					b.Start()
					s.Advance(5 * time.Second)
					a.Start()
				}
				s.AwaitSync()
				pub.PublishN("orders", 21, 25)
				pub.FlushSafe()
				wantJournals(s, cluster.Bodies("pub", 1, 25))
			})
		})
	}
}

// min_sync forbids the downgrade that would leave fewer sync destinations:
// with one needed and one there, its death holds up the acks as if no
// downgrade_after were set (R5).
func TestMinSync(t *testing.T) {
	cluster.Run(t, func(c *server.Config) {
		downgradeAfter(time.Second)(c)
		c.MinSync = 1
	}, func(s *cluster.System) {
		b := s.Node("b")
		pub := s.App("pub", []string{"a"}, nil)
		pub.PublishN("orders", 1, 5)
		pub.FlushSafe()
		b.Kill()
		pub.PublishN("orders", 6, 20)
		if n := wantUnsettled(s, pub.Client.Flush, time.Minute); n != 15 {
			t.Errorf("%d messages are on their way, want 15", n)
		}
		if st := link(s, "a"); st.Ack != "counting" || st.Downgrades != 0 {
			t.Errorf("the link is %s and was downgraded %d times", st.Ack, st.Downgrades)
		}
		wantKept(s, pub, 5, 15)
		b.Start()
		s.AwaitSync()
		pub.FlushSafe()
		wantJournals(s, cluster.Bodies("pub", 1, 20))
	})
}

// The peer is away, time and again, under load. The intervals in which acks were of one
// disk are on record with the messages settled in each, and stay on record through
// restarts (R5, G7).
func TestIntervalsOnRecord(t *testing.T) {
	cluster.Run(t, downgradeAfter(time.Second), func(s *cluster.System) {
		a, b := s.Node("a"), s.Node("b")
		pub := s.App("pub", []string{"a"}, nil)
		for n := range 3 {
			b.Kill()
			from := 10*n + 1
			pub.PublishN("orders", from, from+9)
			pub.Flush()
			s.Advance(20 * time.Second)
			b.Start()
			s.AwaitSync()
			pub.FlushSafe()
			s.Await("the interval to end", func() bool { return !a.Server.Status().Single })
			degraded := a.Server.Status().Degraded
			if len(degraded) != n+1 {
				t.Fatalf("%d intervals are on record, want %d", len(degraded), n+1)
			}
			i := degraded[n]
			if i.Destination != "b" || i.End.IsZero() || len(i.Ranges) != 1 || i.Ranges[0].From != uint64(from) || i.Ranges[0].To != uint64(from+9) {
				t.Errorf("on record: %+v, want what was settled alone, %d to %d", i, from, from+9)
			}
		}
		a.Restart()
		a.AwaitReady()
		if n := len(a.Server.Status().Degraded); n != 3 {
			t.Errorf("after a restart %d intervals are on record, want 3", n)
		}
		s.AwaitSync()
		wantJournals(s, cluster.Bodies("pub", 1, 30))
	})
}
