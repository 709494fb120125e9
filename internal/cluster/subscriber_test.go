package cluster_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/cluster"
	"github.com/holdfast-mq/holdfast/server"
)

// Two publishers stand in one order on A and in another on B, since the link
// was cut while they published. The subscriber has seen only one of them when
// it moves to B, where that one's messages come last. It gets the other's all
// the same: it resumes by vector and not at a place in the log (R9, G6).
func TestCase05TwoOrders(t *testing.T) {
	for seed := range uint64(3) {
		t.Logf("seed %d", seed)
		cluster.Run(t, nil, func(s *cluster.System) {
			random := rand.New(rand.NewPCG(seed, 5))
			p1, p2 := s.App("p1", []string{"a"}, nil), s.App("p2", []string{"b"}, nil)
			sub := s.App("sub", []string{"a", "b"}, nil)
			r := sub.Read("orders", random.IntN(2) == 0, client.From(client.Epoch))
			sub.AwaitServer("a")
			before, n1, n2 := random.IntN(4), 1+random.IntN(20), 1+random.IntN(20)
			p1.PublishN("orders", 1, before)
			p2.PublishN("orders", 1, before)
			r.AwaitN(2 * before)

			s.Cut("a", "b")
			p2.PublishN("orders", before+1, before+n2)
			p1.PublishN("orders", before+1, before+n1)
			r.AwaitN(2*before + n1)
			s.Cut("sub", "a")
			s.Cut("sub", "b")
			s.Pass(time.Duration(random.IntN(4)) * time.Second)
			s.Heal("a", "b")
			p1.FlushSafe()
			p2.FlushSafe()
			s.Heal("sub", "b")
			sub.AwaitServer("b")

			got := r.AwaitN(2*before + n1 + n2)
			exactly(t, got, cluster.Bodies("p1", 1, before+n1), cluster.Bodies("p2", 1, before+n2))
			s.Finish()
			s.Same("a", "b")
			if slices.Equal(s.Node("a").Bodies(), s.Node("b").Bodies()) {
				t.Error("both instances have the messages in the same order: nothing was tried")
			}
		})
	}
}

// A subscription from NOW loses its connection before its first message, and
// what is published meanwhile is delivered after the reconnect, by the same
// instance or by the other one: the first answer named the base (R9).
func TestCase06NowBeforeTheFirstMessage(t *testing.T) {
	for _, back := range []string{"a", "b"} {
		t.Run(back, func(t *testing.T) {
			cluster.Run(t, nil, func(s *cluster.System) {
				old, fresh := s.App("old", []string{"b"}, nil), s.App("fresh", []string{"b"}, nil)
				old.PublishN("orders", 1, 5)
				old.FlushSafe()
				sub := s.App("sub", []string{"a", "b"}, nil)
				r := sub.Read("orders", true, client.From(client.Now))
				sub.AwaitServer("a")

				s.Cut("sub", "a")
				s.Cut("sub", "b")
				old.PublishN("orders", 6, 10)
				fresh.PublishN("orders", 1, 5) // absent from the base: all of it counts
				old.FlushSafe()
				fresh.FlushSafe()
				s.Pass(5 * time.Second)
				s.Heal("sub", back)
				sub.AwaitServer(back)
				exactly(t, r.AwaitN(10), cluster.Bodies("old", 6, 10), cluster.Bodies("fresh", 1, 5))
			})
		})
	}
}

// A subscriber has received messages from A that B never got when A dies. The
// publisher replays them to B, the subscriber moves there too and sees each of
// them once, whether it has discarded it or not (R9, R13, G6).
func TestCase07SeenBeforeTheReplay(t *testing.T) {
	for _, discard := range []bool{false, true} {
		t.Run(fmt.Sprintf("discard=%v", discard), func(t *testing.T) {
			cluster.Run(t, nil, func(s *cluster.System) {
				pub := s.App("pub", []string{"a", "b"}, nil)
				sub := s.App("sub", []string{"a", "b"}, nil)
				r := sub.Read("orders", discard, client.From(client.Epoch))
				pub.AwaitServer("a")
				pub.PublishN("orders", 1, 5)
				pub.FlushSafe()

				s.Cut("a", "b")
				pub.PublishN("orders", 6, 20)
				r.AwaitN(20)
				s.Node("a").Kill()
				pub.AwaitServer("b")
				sub.AwaitServer("b")
				pub.PublishN("orders", 21, 30)
				r.AwaitN(30)
				s.Heal("a", "b")
				s.Node("a").Start()
				pub.FlushSafe()
				exactly(t, r.AwaitN(30), cluster.Bodies("pub", 1, 30))
				s.Finish()
				s.Same("a", "b")
			})
		})
	}
}

// A handler discards out of order and its process is killed, twice, each time
// to begin again on the other instance. Exactly what was never discarded comes
// again, in order, also if it was discarded in the life before the last (R9, G6).
func TestCase08DiscardsOutOfOrder(t *testing.T) {
	for seed := range uint64(4) {
		t.Logf("seed %d", seed)
		cluster.Run(t, nil, func(s *cluster.System) {
			random := rand.New(rand.NewPCG(seed, 8))
			pub := s.App("pub", []string{"a"}, nil)
			pub.PublishN("orders", 1, 40)
			pub.FlushSafe()
			pl := newPlace(s)
			sub := s.App("sub", []string{"a"}, pl.use)
			due := cluster.Bodies("pub", 1, 40)
			for life := range 4 {
				r := sub.Read("orders", false, client.From(client.MostRecent), client.ID("orders"))
				got := r.AwaitN(len(due))
				if !slices.Equal(got, due) {
					t.Fatalf("life %d received %v, want what was not discarded: %v", life, got, due)
				}
				due = discardSome(t, random, r)
				more := cluster.Bodies("pub", 41+3*life, 43+3*life)
				due = append(due, more...)
				pl.sync()
				pl.crash(sub, func(c *client.Config) { c.Servers = s.Servers([]string{"b", "a"}[life%2]) })
				pub.Publish("orders", more...)
				pub.FlushSafe()
			}
		})
	}
}

// discardSome discards about half of what was received, in any order, and
// returns the bodies of the rest.
func discardSome(t *testing.T, random *rand.Rand, r *cluster.Reader) (rest []string) {
	t.Helper()
	got, marks := r.Got(), r.Marks()
	gone := make(map[int]bool)
	for _, i := range random.Perm(len(got))[:len(got)/2] {
		if err := r.Sub.Discard(marks[i]); err != nil {
			t.Fatal(err)
		}
		gone[i] = true
	}
	for i, body := range got {
		if !gone[i] {
			rest = append(rest, body)
		}
	}
	return rest
}

// A handler publishes and flushes on the client that it is called by, for each
// message, with a queue of a few messages and many more arriving, through the
// death of an instance. It doesn't wait for itself: the reader of the
// connection, which brings the acks, never waits for the handler (R12).
func TestCase13HandlerPublishesAndFlushes(t *testing.T) {
	cluster.Run(t, nil, func(s *cluster.System) {
		pub := s.App("pub", []string{"b"}, nil)
		echo := s.App("echo", []string{"a", "b"}, func(c *client.Config) { c.QueueMessages = 4 })
		answers := s.App("answers", []string{"b"}, nil).Read("answers", true, client.From(client.Epoch))
		r := echo.Handle("orders", func(m *client.Message) error {
			ctx, cancel := s.Context()
			defer cancel()
			if _, err := echo.Client.Publish(ctx, "answers", slices.Concat([]byte("echo of "), m.Data)); err != nil {
				return err
			}
			if err := echo.Client.Flush(ctx); err != nil {
				return err
			}
			return m.Discard()
		}, client.From(client.Epoch))
		echo.AwaitServer("a")

		pub.PublishN("orders", 1, 60)
		r.AwaitN(20)
		s.Node("a").Kill()
		s.Pass(time.Second)
		s.Node("a").Start()
		exactly(t, r.AwaitN(60), cluster.Bodies("pub", 1, 60))
		echo.FlushSafe()
		exactly(t, answers.AwaitN(60), cluster.Bodies("echo of pub", 1, 60))
		if err := r.Err(); err != nil {
			t.Error(err)
		}
	})
}

// A subscriber is much slower than its queue is long, so that it is paused
// again and again, while the instances die one after the other. Nothing is
// missed and nothing comes twice: what was dropped of the tail doesn't count
// as received, and the server's log is the buffer (R12, G6).
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
				s.Pass(time.Second)
				p2.PublishN("orders", 151+10*i, 160+10*i)
				s.Node(name).Start()
				s.AwaitSync()
			}
			exactly(t, r.AwaitN(330), cluster.Bodies("p1", 1, 150), cluster.Bodies("p2", 1, 180))
			if st := r.Sub.Stats(); st.Overruns < 3 {
				t.Errorf("the queue overran %d times: nothing was tried", st.Overruns)
			}
		})
	}
}

// The link is downgraded, and the publisher goes on with single acks. A
// subscriber that asked for what is fully durable gets nothing of that before
// it is on both disks again; the others get it at once (R13).
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
		s.Pass(10 * time.Second)
		if got := sure.Got(); len(got) != 5 {
			t.Errorf("received %v while they were on one disk only", got[5:])
		}
		if !slices.Contains(sub.Events(), "waits true") {
			t.Error("the application was not told that it waits")
		}
		// It doesn't help to subscribe again, or to have been away.
		late := sub.Read("orders", true, client.From(client.Epoch), client.FullyDurable())
		s.Net.Reset("sub", "a")
		s.Pass(10 * time.Second)
		for _, r := range []*cluster.Reader{sure, late} {
			for _, body := range r.Got() {
				if !slices.Contains(cluster.Bodies("pub", 1, 5), body) {
					t.Errorf("received %s while it was on one disk only", body)
				}
			}
		}

		s.Heal("a", "b")
		for _, r := range []*cluster.Reader{sure, late, quick} {
			exactly(t, r.AwaitN(10), cluster.Bodies("pub", 1, 10))
		}
		if events := sub.Events(); events[len(events)-1] != "waits false" {
			t.Errorf("the application was not told that it waits no longer: %v", events)
		}

		// Nor does it help that the instance dies that has given nothing away.
		pub.Use(func(c *client.Config) { c.Servers = s.Servers("b") })
		pub.Kill()
		pub.Restart()
		s.Node("a").Kill()
		sub.AwaitServer("b")
		pub.PublishN("orders", 11, 15)
		pub.Flush()
		quick.AwaitN(15)
		s.Pass(10 * time.Second)
		if got := sure.Got(); len(got) != 10 {
			t.Errorf("received %v while they were on the other disk only", got[10:])
		}
		s.Node("a").Start()
		for _, r := range []*cluster.Reader{sure, late, quick} {
			exactly(t, r.AwaitN(15), cluster.Bodies("pub", 1, 15))
		}
	})
}

// A subscriber to one topic lives beside publishers of others. What it has
// been shown by progress marks isn't missing when it resumes, on either
// instance, alive or in a new process, though retention has long removed
// messages that never matched: resuming goes no further back than the marks (R9).
func TestMarksOfOtherTopics(t *testing.T) {
	cluster.Run(t, retain(time.Minute), func(s *cluster.System) {
		pub, noise := s.App("pub", []string{"a", "b"}, nil), s.App("noise", []string{"b", "a"}, nil)
		pl := newPlace(s)
		sub := s.App("sub", []string{"a", "b"}, pl.use)
		r := sub.Read("orders", true, client.From(client.MostRecent), client.ID("orders"))
		sub.AwaitServer("a")
		publishLong(s, noise, "ticks", 1, 200)
		pub.PublishN("orders", 1, 5)
		pub.FlushSafe()
		noise.FlushSafe()
		r.AwaitN(5)
		s.Pass(2 * time.Minute)
		for _, name := range []string{"a", "b"} {
			if floor(s, name, "ticks", noise) == 0 {
				t.Fatalf("%s has removed nothing: nothing is tried", name)
			}
		}

		s.Node("a").Kill()
		sub.AwaitServer("b")
		pub.PublishN("orders", 6, 10)
		exactly(t, r.AwaitN(10), cluster.Bodies("pub", 1, 10))
		pl.sync()
		pl.crash(sub, nil)
		r = sub.Read("orders", true, client.From(client.MostRecent), client.ID("orders"))
		s.Node("a").Start()
		s.AwaitSync()
		pub.PublishN("orders", 11, 15)
		exactly(t, r.AwaitN(5), cluster.Bodies("pub", 11, 15))
	})
}

// Progress marks of a publisher arrive while messages of it wait to be
// discarded, some in the hands of the application and some in the queue. The
// process is killed, and these come again: a mark is behind what stood before
// it when it came (R9).
func TestMarksBehindWhatIsUndiscarded(t *testing.T) {
	cluster.Run(t, nil, func(s *cluster.System) {
		pub := s.App("pub", []string{"a"}, nil)
		pl := newPlace(s)
		sub := s.App("sub", []string{"a", "b"}, pl.use)
		hold := make(chan struct{})
		r := sub.Handle("orders", func(m *client.Message) error {
			if string(m.Data) == "pub-3" {
				<-hold
			}
			if string(m.Data) == "pub-2" {
				return nil // and never will be
			}
			return m.Discard()
		}, client.From(client.MostRecent), client.ID("orders"))
		for n := range 6 {
			pub.PublishN("orders", n+1, n+1)
			pub.PublishN("ticks", 1, 3)
			s.Pass(2 * time.Second) // for the mark
		}
		if got := r.Got(); len(got) != 3 {
			t.Fatalf("received %v, want three", got)
		}
		pl.sync()
		pl.crash(sub, func(c *client.Config) { c.Servers = s.Servers("b", "a"); close(hold) })
		r = sub.Read("orders", true, client.From(client.MostRecent), client.ID("orders"))
		exactly(t, r.AwaitN(5), cluster.Bodies("pub", 2, 6))
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
			pl := newPlace(s)
			sub := s.App("sub", []string{"a", "b"}, pl.use)
			handled := make(map[string]int)
			for life := range 6 {
				n := random.IntN(8)
				r := sub.Handle("orders", func(m *client.Message) error {
					if n == 0 {
						return nil
					}
					n--
					handled[string(m.Data)]++
					return m.Discard()
				}, client.From(client.MostRecent), client.ID("orders"))
				for i, pub := range pubs {
					pub.PublishN("orders", 5*life+1, 5*life+5)
					if random.IntN(2) == 0 {
						pub.PublishN("ticks", life, life+random.IntN(10)*i)
					}
				}
				s.Pass(time.Duration(random.IntN(3000)) * time.Millisecond)
				node := s.Node([]string{"a", "b"}[random.IntN(2)])
				if random.IntN(2) == 0 {
					node.Restart()
				}
				r.Stop()
				pl.sync()
				pl.crash(sub, nil)
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
func exactly(t *testing.T, got []string, want ...[]string) {
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

// A place is a bookmark store in a real file, since bbolt has no other disk.
type place struct {
	s     *cluster.System
	dir   string
	n     int
	store *bookmarkstore.Bolt
}

// newPlace opens an empty store.
func newPlace(s *cluster.System) *place {
	s.TB.Helper()
	p := &place{s: s, dir: s.TB.TempDir()}
	p.open()
	s.TB.Cleanup(func() { p.store.Close() })
	return p
}

func (p *place) path() string { return filepath.Join(p.dir, fmt.Sprintf("marks-%d.db", p.n)) }

func (p *place) open() {
	p.s.TB.Helper()
	store, err := bookmarkstore.OpenBolt(p.path(), bookmarkstore.BoltOptions{})
	if err != nil {
		p.s.TB.Fatal(err)
	}
	p.store = store
}

// use has a client use the store.
func (p *place) use(c *client.Config) { c.Bookmarks = p.store }

// sync waits until what was discarded is on disk.
func (p *place) sync() {
	p.s.TB.Helper()
	if err := p.store.Sync(context.Background()); err != nil {
		p.s.TB.Fatal(err)
	}
}

// crash kills an application that uses the store, and starts it again with
// what was in the file at that moment, and changed as configure says.
func (p *place) crash(a *cluster.App, configure func(*client.Config)) {
	p.s.TB.Helper()
	p.s.Pass(0)
	image, err := os.ReadFile(p.path())
	if err != nil {
		p.s.TB.Fatal(err)
	}
	a.Use(func(c *client.Config) {
		if configure != nil {
			configure(c)
		}
	})
	a.Kill()
	p.store.Close()
	p.n++
	if err := os.WriteFile(p.path(), image, 0o600); err != nil {
		p.s.TB.Fatal(err)
	}
	p.open()
	a.Use(p.use)
	a.Restart()
}
