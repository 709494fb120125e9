package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/server"
)

// A subscriber is much slower than its queue is long, so that it is paused again and
// again, while the instances die one after the other. Nothing is missed and nothing comes
// twice: the dropped tail does not count as received, and the server's log is the buffer
// (R12, G6).
func TestOverrunThroughFailovers(t *testing.T) {
	for seed := range uint64(3) {
		t.Logf("seed %d", seed)
		cluster.Run(t, nil, func(s *cluster.System) {
			random := rand.New(rand.NewPCG(seed, 12))
			p1, p2 := s.App("p1", []string{"a", "b"}, nil), s.App("p2", []string{"b", "a"}, nil)
			sub := s.App("sub", []string{"a", "b"}, func(c *client.Config) { c.QueueMessages = 8 })
			r := sub.Handle("orders", func(m *client.Message) error {
				<-time.After(time.Duration(random.IntN(20)) * time.Millisecond)
				if random.IntN(3) > 0 {
					return m.Discard()
				}
				return nil
			}, client.From(client.Epoch))
			sub.AwaitServer("a")
			p1.PublishN("orders", 1, 150)
			p2.PublishN("orders", 1, 150)
			for i, name := range []string{"a", "b", "a"} {
				r.AwaitN((i + 1) * 60)
				s.Node(name).Kill()
				s.Advance(time.Second)
				p2.PublishN("orders", 151+10*i, 160+10*i)
				s.Node(name).Start()
				s.AwaitSync()
			}
			wantExactly(t, r.AwaitN(330), cluster.Bodies("p1", 1, 150), cluster.Bodies("p2", 1, 180))
			if st := r.Sub.Stats(); st.Pauses < 3 {
				t.Errorf("the queue overran %d times: the test proves nothing", st.Pauses)
			}
		})
	}
}

// The link is downgraded, and the publisher goes on with single acks. A fully durable
// subscription gets none of these messages before they are on both disks again; the
// others get them at once (R13).
func TestFullyDurableDuringADowngrade(t *testing.T) {
	downgrades := func(c *server.Config) {
		c.Replication.Destinations[0].DowngradeAfter = server.Duration(time.Second)
	}
	cluster.Run(t, downgrades, func(s *cluster.System) {
		pub := s.App("pub", []string{"a"}, nil)
		sub := s.App("sub", []string{"a", "b"}, nil)
		sure := sub.Read("orders", true, client.From(client.Epoch), client.FullyDurable())
		quick := sub.Read("orders", true, client.From(client.Epoch))
		pub.PublishN("orders", 1, 5)
		sure.AwaitN(5)

		s.Cut("a", "b")
		pub.PublishN("orders", 6, 10)
		pub.Flush() // single
		quick.AwaitN(10)
		s.Advance(10 * time.Second)
		if got := sure.Bodies(); len(got) != 5 {
			t.Errorf("received %v while they were on one disk only", got[5:])
		}
		if !slices.Contains(sub.Events(), "waits true") {
			t.Error("the application was not told that it waits")
		}
		// It doesn't help to subscribe again, or to have been away.
		late := sub.Read("orders", true, client.From(client.Epoch), client.FullyDurable())
		s.Net.Reset("sub", "a")
		s.Advance(10 * time.Second)
		for _, r := range []*cluster.Reader{sure, late} {
			for _, body := range r.Bodies() {
				if !slices.Contains(cluster.Bodies("pub", 1, 5), body) {
					t.Errorf("received %s while it was on one disk only", body)
				}
			}
		}

		s.Heal("a", "b")
		for _, r := range []*cluster.Reader{sure, late, quick} {
			wantExactly(t, r.AwaitN(10), cluster.Bodies("pub", 1, 10))
		}
		if events := sub.Events(); events[len(events)-1] != "waits false" {
			t.Errorf("the application was not told that it waits no longer: %v", events)
		}

		// Nor does it help that the instance dies that has given nothing away.
		pub.Configure(func(c *client.Config) { c.Servers = s.Servers("b") })
		pub.Kill()
		pub.Restart()
		s.Node("a").Kill()
		sub.AwaitServer("b")
		pub.PublishN("orders", 11, 15)
		pub.Flush()
		quick.AwaitN(15)
		s.Advance(10 * time.Second)
		if got := sure.Bodies(); len(got) != 10 {
			t.Errorf("received %v while they were on the other disk only", got[10:])
		}
		s.Node("a").Start()
		for _, r := range []*cluster.Reader{sure, late, quick} {
			wantExactly(t, r.AwaitN(15), cluster.Bodies("pub", 1, 15))
		}
	})
}

// A subscriber to one topic lives beside publishers of others. It does not miss messages
// that progress marks have passed when it resumes, on either instance, alive or in a new
// process, though retention has long removed messages that never matched: resuming goes
// no further back than the marks (R9).
func TestMarksOfOtherTopics(t *testing.T) {
	cluster.Run(t, retain(time.Minute), func(s *cluster.System) {
		pub, noise := s.App("pub", []string{"a", "b"}, nil), s.App("noise", []string{"b", "a"}, nil)
		file := s.BookmarkFile()
		sub := s.App("sub", []string{"a", "b"}, file.Configure)
		r := sub.Read("orders", true, client.From(client.MostRecent), client.ID("orders"))
		sub.AwaitServer("a")
		for n := range 20 { // more topics than retention tells apart
			publishLong(s, noise, fmt.Sprintf("ticks-%d", n), 10*n+1, 10*n+10)
		}
		pub.PublishN("orders", 1, 4)
		pub.FlushSafe()
		noise.FlushSafe()
		s.Advance(2 * time.Minute)
		pub.PublishN("orders", 5, 5) // the last bookmark is of pub, whichever mark came first
		pub.FlushSafe()
		r.AwaitN(5)
		for _, name := range []string{"a", "b"} {
			if floor(s, name, "ticks-0", noise) == 0 {
				t.Fatalf("%s has removed nothing: the test proves nothing", name)
			}
		}

		s.Node("a").Kill()
		sub.AwaitServer("b")
		pub.PublishN("orders", 6, 10)
		wantExactly(t, r.AwaitN(10), cluster.Bodies("pub", 1, 10))
		file.Sync()
		file.Crash(sub, nil)
		r = sub.Read("orders", true, client.From(client.MostRecent), client.ID("orders"))
		s.Node("a").Start()
		s.AwaitSync()
		pub.PublishN("orders", 11, 15)
		wantExactly(t, r.AwaitN(5), cluster.Bodies("pub", 11, 15))
	})
}

// Progress marks of a publisher arrive while some of its messages wait to be discarded,
// in the hands of the application or in the queue. The process is killed, and these come
// again: a mark takes effect only after the messages that were ahead of it (R9).
func TestMarksBehindWhatIsUndiscarded(t *testing.T) {
	cluster.Run(t, nil, func(s *cluster.System) {
		pub := s.App("pub", []string{"a"}, nil)
		file := s.BookmarkFile()
		sub := s.App("sub", []string{"a", "b"}, file.Configure)
		hold := make(chan struct{})
		r := sub.Handle("orders", func(m *client.Message) error {
			if string(m.Body) == "pub-3" {
				<-hold
			}
			if string(m.Body) == "pub-2" {
				return nil // and never will be
			}
			return m.Discard()
		}, client.From(client.MostRecent), client.ID("orders"))
		for n := range 6 {
			pub.PublishN("orders", n+1, n+1)
			pub.PublishN("ticks", 1, 3)
			s.Advance(2 * time.Second) // for the mark
		}
		if got := r.Bodies(); len(got) != 3 {
			t.Fatalf("received %v, want three", got)
		}
		file.Sync()
		file.Crash(sub, func(c *client.Config) { c.Servers = s.Servers("b", "a"); close(hold) })
		r = sub.Read("orders", true, client.From(client.MostRecent), client.ID("orders"))
		wantExactly(t, r.AwaitN(5), cluster.Bodies("pub", 2, 6))
	})
}

// A subscriber's process is killed again and again and takes up its place in
// a database file, on whatever instance it finds, while these die too. All it
// did not discard in time comes again, nothing else does, and nothing is missed (R9, G6).
func TestRestartsWithBolt(t *testing.T) {
	for seed := range uint64(3) {
		t.Logf("seed %d", seed)
		cluster.Run(t, nil, func(s *cluster.System) {
			random := rand.New(rand.NewPCG(seed, 9))
			pubs := []*cluster.App{s.App("p1", []string{"a", "b"}, nil), s.App("p2", []string{"b", "a"}, nil)}
			file := s.BookmarkFile()
			sub := s.App("sub", []string{"a", "b"}, file.Configure)
			handled := make(map[string]int)
			for life := range 6 {
				n := random.IntN(8)
				r := sub.Handle("orders", func(m *client.Message) error {
					if n == 0 {
						return nil
					}
					n--
					handled[string(m.Body)]++
					return m.Discard()
				}, client.From(client.MostRecent), client.ID("orders"))
				for i, pub := range pubs {
					pub.PublishN("orders", 5*life+1, 5*life+5)
					if random.IntN(2) == 0 {
						pub.PublishN("ticks", life, life+random.IntN(10)*i)
					}
				}
				s.Advance(time.Duration(random.IntN(3000)) * time.Millisecond)
				node := s.Node([]string{"a", "b"}[random.IntN(2)])
				if random.IntN(2) == 0 {
					node.Restart()
				}
				r.Stop()
				file.Sync()
				file.Crash(sub, nil)
				s.AwaitSync()
			}
			r := sub.Read("orders", true, client.From(client.MostRecent), client.ID("orders"))
			rest := r.AwaitN(60 - len(handled))
			for _, body := range rest {
				handled[body]++
			}
			for body, times := range handled {
				if times != 1 {
					t.Errorf("%s was discarded %d times", body, times)
				}
			}
			if len(handled) != 60 {
				t.Errorf("%d messages were discarded, want 60", len(handled))
			}
		})
	}
}

// exactly fails unless got is made of the lists wanted, each of them in its
// order: nothing missed, nothing twice. Each list is one publisher's.
func wantExactly(t *testing.T, got []string, want ...[]string) {
	t.Helper()
	total := 0
	for _, list := range want {
		total += len(list)
		var of []string
		for _, body := range got {
			if slices.Contains(list, body) {
				of = append(of, body)
			}
		}
		if !slices.Equal(of, list) {
			t.Errorf("received %v, want %v", of, list)
		}
	}
	if len(got) != total {
		t.Errorf("received %d messages, want %d: %v", len(got), total, got)
	}
}
