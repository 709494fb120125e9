package cluster_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/cluster"
	"github.com/holdfast-mq/holdfast/server"
)

// logged configures instances that log some topics only.
func logged(topics ...string) func(*server.Config) {
	return func(c *server.Config) { c.Log.Topics = topics }
}

// rejections returns what the failed-write handler was told, in order.
func rejections(app *cluster.App) []string {
	var told []string
	for _, e := range app.Events() {
		if strings.HasPrefix(e, "rejected ") {
			told = append(told, e)
		}
	}
	return told
}

func wantRejections(s *cluster.System, app *cluster.App, want ...string) {
	s.TB.Helper()
	if got := rejections(app); !slices.Equal(got, want) {
		s.TB.Errorf("the failed-write handler of %s was told %q, want %q", app.Name, got, want)
	}
}

// Case 25. A rejects messages while its link is cut, and says so; it dies
// before B has heard of it. The publisher no longer keeps the messages, names
// the one before them as predecessor, and goes on at B, where nothing is
// missing. What was rejected by B too, because A had not said so, is told once.
// Back together both have the same, tombstones included (R1, R14).
func TestCase25RejectedBeforeThePeerKnows(t *testing.T) {
	for _, tt := range []struct {
		name    string
		restart bool // the publisher's process dies too
	}{{"alive", false}, {"restarted", true}} {
		t.Run(tt.name, func(t *testing.T) {
			cluster.Run(t, logged("^orders$"), func(s *cluster.System) {
				a := s.Node("a")
				pub := s.App("pub", []string{"a", "b"}, nil)
				r := s.App("sub", []string{"b"}, nil).Read("orders", true, client.From(client.Epoch))
				pub.AwaitServer("a")
				pub.PublishN("orders", 1, 3)
				pub.FlushSafe()

				s.Cut("a", "b")
				pub.PublishN("nowhere", 4, 5) // 4 and 5: A says no, at once
				s.Await("the rejections", func() bool { return len(rejections(pub)) == 2 })
				pub.PublishN("orders", 6, 7)
				pub.PublishN("nowhere", 8, 8) // A cannot say so before 6 and 7 are safe
				pub.PublishN("orders", 9, 9)
				s.Pass(20 * time.Millisecond)
				a.Kill()
				s.Heal("a", "b")
				if tt.restart {
					pub.Kill()
					pub.Restart()
				}
				pub.AwaitServer("b")
				pub.PublishN("orders", 10, 12)
				want := slices.Concat(cluster.Bodies("pub", 1, 3), cluster.Bodies("pub", 6, 7), cluster.Bodies("pub", 9, 12))
				wantBodies(s, "the subscriber, before a is back", r.AwaitN(len(want)), want)
				a.Start()
				s.AwaitSync()
				pub.FlushSafe()
				wantRejections(s, pub, "rejected 4: invalid topic", "rejected 5: invalid topic", "rejected 8: invalid topic")
				wantNoEvent(s, pub, "gap")
				wantJournals(s, want)
			})
		})
	}
}

// Case 25, A's answer is lost. The tombstone is on both disks, so that the next
// logon could let the message go in silence; the failed-write handler is told
// all the same, by either instance (R14).
func TestCase25RejectionIsToldAgain(t *testing.T) {
	for _, at := range []string{"a", "b"} {
		t.Run(at, func(t *testing.T) {
			cluster.Run(t, logged("^orders$"), func(s *cluster.System) {
				pub := s.App("pub", []string{"a", "b"}, nil)
				pub.AwaitServer("a")
				pub.PublishN("orders", 1, 3)
				pub.FlushSafe()

				s.Net.CutOneWay("a", "pub")
				pub.PublishN("nowhere", 4, 4)
				pub.PublishN("orders", 5, 6)
				s.Pass(100 * time.Millisecond)
				s.Heal("a", "pub")
				if at == "b" {
					move(s, pub, "a", "b")
				} else {
					s.Net.Reset("a", "pub")
					s.Cut("pub", "b")
					pub.AwaitServer("a")
				}
				s.AwaitSync()
				pub.FlushSafe()
				wantRejections(s, pub, "rejected 4: invalid topic")
				wantJournals(s, slices.Concat(cluster.Bodies("pub", 1, 3), cluster.Bodies("pub", 5, 6)))
			})
		})
	}
}

// Case 26. A message is larger than the servers take, and in the store before
// the client knows: published before the first logon, or before the servers
// were given a smaller limit. It is rejected once, with its reason, and not sent
// again, whoever restarts; from then on Publish refuses what is too large (R14).
func TestCase26TooLarge(t *testing.T) {
	const limit = 64 << 10
	large := strings.Repeat("x", limit)
	for _, tt := range []struct {
		name    string
		offline bool
	}{{"offline", true}, {"smaller limit", false}} {
		t.Run(tt.name, func(t *testing.T) {
			smaller := func(c *server.Config) { c.MaxMessage = limit }
			configure := smaller
			if !tt.offline {
				configure = nil
			}
			cluster.Run(t, configure, func(s *cluster.System) {
				a, b := s.Node("a"), s.Node("b")
				if tt.offline {
					s.Cut("pub", "a")
					s.Cut("pub", "b")
				}
				pub := s.App("pub", []string{"a", "b"}, nil)
				if !tt.offline {
					pub.PublishN("orders", 1, 1)
					pub.FlushSafe()
					a.Kill()
					b.Kill()
					smaller(&a.Config)
					smaller(&b.Config)
				} else {
					pub.PublishN("orders", 1, 1)
				}
				pub.Publish("orders", large)
				pub.PublishN("orders", 3, 4)
				if tt.offline {
					s.Heal("pub", "a")
					s.Heal("pub", "b")
				} else {
					a.Start()
					b.Start()
				}
				s.AwaitSync()
				pub.FlushSafe()
				wantRejections(s, pub, "rejected 2: message too large")
				sent := pub.Client.Stats().Publish.Sent

				ctx, cancel := s.Context()
				defer cancel()
				var tooLarge *client.TooLargeError
				if _, err := pub.Client.Publish(ctx, "orders", []byte(large)); !errors.As(err, &tooLarge) || tooLarge.Max != limit {
					t.Errorf("Publish of what is too large: %v", err)
				}
				a.Restart()
				pub.AwaitServer("b")
				s.AwaitSync()
				if again := pub.Client.Stats().Publish.Sent; again != sent {
					t.Errorf("%d messages sent after a restart, want %d as before: something is replayed", again, sent)
				}
				pub.Kill()
				pub.Restart()
				pub.PublishN("orders", 5, 5)
				pub.FlushSafe()
				wantRejections(s, pub, "rejected 2: message too large")
				if st := pub.Client.Stats().Publish; st.Sent != 1 || st.Outstanding.Messages != 0 {
					t.Errorf("a new process has sent %d messages and keeps %d, want 1 and 0", st.Sent, st.Outstanding.Messages)
				}
				wantJournals(s, slices.Concat(cluster.Bodies("pub", 1, 1), cluster.Bodies("pub", 3, 5)))
			})
		})
	}
}

// Case 26. A topic that is not logged, between others, a hundred times, with
// the publisher going from one instance to the other and its process killed:
// each is rejected, and told to the failed-write handler, at least once, and
// once only in one process; none stays in the store (R14, G1).
func TestCase26UnloggedTopic(t *testing.T) {
	cluster.Run(t, logged("^orders$"), func(s *cluster.System) {
		pub := s.App("pub", []string{"a", "b"}, nil)
		var want []string
		var refused []int
		for n := 1; n <= 100; n++ {
			if n%3 == 0 {
				pub.PublishN("nowhere", n, n)
				refused = append(refused, n)
			} else {
				pub.PublishN("orders", n, n)
				want = append(want, cluster.Bodies("pub", n, n)...)
			}
			switch n {
			case 20, 60:
				s.Node("a").Restart()
			case 40, 80:
				s.Node("b").Restart()
			case 70:
				pub.Kill()
				pub.Restart()
			}
			s.Pass(time.Duration(n%7) * 100 * time.Microsecond)
		}
		s.AwaitSync()
		pub.FlushSafe()
		told := make(map[string]int)
		for _, e := range rejections(pub) {
			told[e]++
		}
		for _, n := range refused {
			if times := told[fmt.Sprintf("rejected %d: invalid topic", n)]; times != 1 && (times != 2 || n > 70) {
				t.Errorf("%d: told %d times", n, times)
			}
		}
		if u := pub.Store.Usage(); u.Messages != 0 {
			t.Errorf("the store keeps %d messages", u.Messages)
		}
		wantJournals(s, want)
	})
}
