package cluster_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/cluster"
	"github.com/holdfast-mq/holdfast/server"
)

// A publisher mixes topics that the link carries with one that it doesn't,
// and its instance dies in the middle. It goes on at the other one: markers
// stand where messages are elsewhere, so that nothing is a hole. What is
// carried is on both in the end, and the rest on at least one (R1, R3).
func TestCase12TopicElsewhere(t *testing.T) {
	for seed := range uint64(4) {
		t.Logf("seed %d", seed)
		cluster.Run(t, carry("^shared$"), func(s *cluster.System) {
			random := rand.New(rand.NewPCG(seed, 12))
			pub := s.App("pub", []string{"a", "b"}, nil)
			sub := s.App("sub", []string{"b"}, nil).Read("shared", true, client.From(client.Epoch))
			pub.AwaitServer("a")
			var shared, all []string
			mix := func(from, to int) {
				for _, body := range cluster.Bodies("pub", from, to) {
					all = append(all, body)
					if random.IntN(2) == 0 {
						pub.Publish("private", body)
						continue
					}
					shared = append(shared, body)
					pub.Publish("shared", body)
				}
			}
			mix(1, 20)
			pub.FlushSafe()
			mix(21, 40)
			s.Pass(time.Duration(random.IntN(1000)) * time.Microsecond)
			s.Node("a").Kill()
			mix(41, 60)
			pub.AwaitServer("b")
			s.Node("a").Start()
			s.AwaitSync()
			mix(61, 70)
			pub.FlushSafe()
			exactly(t, sub.AwaitN(len(shared)), shared)
			if e := gapEvents(pub); len(e) > 0 {
				t.Errorf("the publisher was told %v", e)
			}
			s.Finish()
			onSome(s, all)
			for _, name := range []string{"a", "b"} {
				for _, body := range shared {
					if !slices.Contains(s.Node(name).Bodies(), body) {
						t.Errorf("%s lacks %s", name, body)
					}
				}
			}
		})
	}
}

// A's disk is slow and then loses power, with a message on it that the link
// doesn't carry and that is not yet durable. B must not have a marker for it,
// or it would answer the publisher's replay as a duplicate and nobody would
// have the message (R3).
func TestCase12MarkerAfterTheDisk(t *testing.T) {
	cluster.Run(t, carry("^shared$"), func(s *cluster.System) {
		pub := s.App("pub", []string{"a", "b"}, nil)
		pub.AwaitServer("a")
		pub.Publish("shared", "first")
		pub.FlushSafe()
		s.Node("a").FS.SyncDelay(time.Second)
		pub.Publish("private", "secret")
		pub.Publish("shared", "second")
		s.Pass(500 * time.Millisecond)
		s.Node("a").PowerCut()
		pub.AwaitServer("b")
		s.Node("a").Start()
		s.AwaitSync()
		pub.Publish("private", "last")
		pub.FlushSafe()
		s.Finish()
		onSome(s, []string{"first", "secret", "second", "last"})
	})
}

// Subscribers to a topic that the link doesn't carry, or to a pattern that may
// match such a one, are told so with the answer to their subscribe. When their
// instance dies they end with an error instead of moving, unless they are told
// to move. On their own instance they go on, and so do the others elsewhere (R3, G7).
func TestCase12NotReplicated(t *testing.T) {
	cluster.Run(t, carry("^shared$"), func(s *cluster.System) {
		pa, pb := s.App("pa", []string{"a"}, nil), s.App("pb", []string{"b"}, nil)
		sub, homely := s.App("sub", []string{"a", "b"}, nil), s.App("homely", []string{"a"}, nil)
		private := sub.Read("private", true, client.From(client.Epoch))
		pattern := sub.Read("^(shared|private)$", true, client.From(client.Epoch))
		shared := sub.Read("shared", true, client.From(client.Epoch))
		bold := sub.Read("private", true, client.From(client.Epoch), client.AllowUnreplicated())
		stays := homely.Read("private", true, client.From(client.Epoch))
		sub.AwaitServer("a")
		pa.PublishN("private", 1, 5)
		pa.PublishN("shared", 6, 10)
		pa.FlushSafe()
		exactly(t, pattern.AwaitN(10), cluster.Bodies("pa", 1, 10))

		s.Node("a").Kill()
		pb.PublishN("private", 1, 5)
		pb.PublishN("shared", 6, 10)
		sub.AwaitServer("b")
		exactly(t, private.AwaitN(6), cluster.Bodies("pa", 1, 5))
		exactly(t, pattern.AwaitN(11), cluster.Bodies("pa", 1, 10))
		for _, r := range []*cluster.Reader{private, pattern} {
			if !errors.Is(r.Err(), client.ErrNotReplicated) {
				t.Errorf("the subscription to %s ended with %v", r.Sub.Topic(), r.Err())
			}
		}
		exactly(t, shared.AwaitN(10), cluster.Bodies("pa", 6, 10), cluster.Bodies("pb", 6, 10))
		exactly(t, bold.AwaitN(10), cluster.Bodies("pa", 1, 5), cluster.Bodies("pb", 1, 5))

		s.Node("a").Start()
		s.AwaitSync()
		pa.PublishN("private", 11, 15)
		exactly(t, stays.AwaitN(10), cluster.Bodies("pa", 1, 5), cluster.Bodies("pa", 11, 15))
	})
}

// A third instance is fed asynchronously. Acks wait neither for its disk nor
// are they given for it: with it down they come, with only it up they don't,
// and where there is no other destination, or none at all, they are single
// and the store keeps (G2).
func TestCase18AsyncNeverCounts(t *testing.T) {
	withThird(t, func(s *cluster.System) {
		pub := s.App("pub", []string{"a"}, nil)
		far := s.App("far", []string{"c"}, nil).Read("orders", true, client.From(client.Epoch))
		pub.PublishN("orders", 1, 5)
		pub.FlushSafe()
		far.AwaitN(5)

		s.Node("c").Kill()
		pub.PublishN("orders", 6, 10)
		pub.FlushSafe()
		s.Node("c").Start()
		s.AwaitSync()

		s.Cut("a", "b")
		pub.PublishN("orders", 11, 15)
		far.AwaitN(15)
		s.Pass(10 * time.Second)
		if n := pub.Client.Stats().Publish.Outstanding.Messages; n != 5 {
			t.Errorf("%d messages are outstanding, want the 5 that only the asynchronous instance has", n)
		}
		s.Heal("a", "b")
		pub.FlushSafe()

		// The third one has no synchronous destination, nor has one that feeds only it.
		lone := s.Add("d", nil)
		lone.Config.Replication.Destinations = []server.Destination{{Name: "c", Address: "c:9107", Ack: "async"}}
		lone.Start()
		s.AwaitSync()
		for _, name := range []string{"c", "d"} {
			p := s.App("pub-"+name, []string{name}, nil)
			p.PublishN("orders", 1, 5)
			p.Flush()
			s.Pass(10 * time.Second)
			if u := p.Client.Stats().Publish.Outstanding; u.Messages != 5 || u.Single != 5 {
				t.Errorf("of 5 messages to %s the store keeps %d, %d of them single", name, u.Messages, u.Single)
			}
		}
		exactly(t, far.AwaitN(25), cluster.Bodies("pub", 1, 15), cluster.Bodies("pub-c", 1, 5), cluster.Bodies("pub-d", 1, 5))
	})
}

// Bookmark subscribers don't move along an asynchronous link silently, in
// neither direction: away from the third instance, which replicates to nobody,
// or to it, which may lack what its sources had. Told to, they do (R3, G7).
func TestCase18NoFailoverAlongAsync(t *testing.T) {
	for _, way := range []string{"ac", "ca"} {
		t.Run(way, func(t *testing.T) {
			withThird(t, func(s *cluster.System) {
				from, to := way[:1], way[1:]
				pub := s.App("pub", []string{"b"}, nil)
				sub := s.App("sub", []string{from, to}, nil)
				careful := sub.Read("orders", true, client.From(client.Epoch))
				bold := sub.Read("orders", true, client.From(client.Epoch), client.AllowUnreplicated())
				sub.AwaitServer(from)
				pub.PublishN("orders", 1, 5)
				careful.AwaitN(5)
				s.Node(from).Kill()
				sub.AwaitServer(to)
				pub.PublishN("orders", 6, 10)
				exactly(t, bold.AwaitN(10), cluster.Bodies("pub", 1, 10))
				exactly(t, careful.AwaitN(6), cluster.Bodies("pub", 1, 5))
				if !errors.Is(careful.Err(), client.ErrNotReplicated) {
					t.Errorf("the subscription ended with %v", careful.Err())
				}
				s.Node(from).Start()
				s.AwaitSync()
			})
		})
	}
}

// carry configures the topics that the links of a pair carry.
func carry(topics ...string) func(*server.Config) {
	return func(c *server.Config) { c.Replication.Destinations[0].Topics = topics }
}

// withThird runs a scenario on a pair whose two instances also feed c,
// asynchronously. c has no destinations.
func withThird(t *testing.T, scenario func(*cluster.System)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := cluster.New(t)
		feed := func(c *server.Config) {
			c.Replication.Destinations = append(c.Replication.Destinations,
				server.Destination{Name: "c", Address: "c:9107", Ack: "async"})
		}
		s.Add("c", nil).Start()
		s.Add("a", feed, "b").Start()
		s.Add("b", feed, "a").Start()
		s.AwaitSync()
		scenario(s)
		s.Finish()
	})
}

// onSome fails unless each of the bodies is in the journal of some instance.
func onSome(s *cluster.System, bodies []string) {
	s.TB.Helper()
	held := slices.Concat(s.Node("a").Bodies(), s.Node("b").Bodies())
	for _, body := range bodies {
		if !slices.Contains(held, body) {
			s.TB.Errorf("no instance has %s", body)
		}
	}
}

// gapEvents returns what an application's hooks were told of publish gaps and
// of logons refused.
func gapEvents(a *cluster.App) (events []string) {
	for _, e := range a.Events() {
		if strings.HasPrefix(e, "gap") || strings.HasPrefix(e, "rejected") {
			events = append(events, e)
		}
	}
	return events
}
