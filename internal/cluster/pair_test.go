package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/cluster"
	"github.com/holdfast-mq/holdfast/internal/memfs"
	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/server"
)

// stopLoads ends loads, waits until all is safe, and returns the bodies of each.
func stopLoads(s *cluster.System, loads ...*cluster.Load) (bodies [][]string) {
	s.TB.Helper()
	for _, l := range loads {
		bodies = append(bodies, l.Stop())
	}
	for _, l := range loads {
		l.App.FlushSafe()
	}
	return bodies
}

// total counts bodies.
func total(bodies [][]string) (n int) {
	for _, b := range bodies {
		n += len(b)
	}
	return n
}

// wantBoth ends the scenario and checks that both journals hold exactly the
// bodies of each publisher, each in its order.
func wantBoth(t *testing.T, s *cluster.System, bodies ...[]string) {
	t.Helper()
	s.Finish()
	s.Same("a", "b")
	for _, name := range []string{"a", "b"} {
		exactly(t, s.Node(name).Bodies(), bodies...)
	}
}

// link returns the state of the link of an instance to the other.
func link(s *cluster.System, name string) replica.Status {
	s.TB.Helper()
	links := s.Node(name).Server.Status().Links
	if len(links) != 1 {
		s.TB.Fatalf("%s has %d links", name, len(links))
	}
	return links[0]
}

// Case 4. The link is cut with publishers on both sides, and both sides leave
// the other out. Publishers and subscribers go from one side to the other and
// back while that lasts. Healed, both journals hold everything once and in
// order, and every subscriber has seen everything once (G3, G4, G5, G6, R1, R5).
func TestCase04SplitBrain(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			cluster.Run(t, downgradeAfter(time.Second), func(s *cluster.System) {
				random := rand.New(rand.NewPCG(seed, 4))
				splitBrain(t, s, random)
			})
		})
	}
}

func splitBrain(t *testing.T, s *cluster.System, random *rand.Rand) {
	p, q := s.App("p", []string{"a", "b"}, nil), s.App("q", []string{"b", "a"}, nil)
	still := s.App("still", []string{"a"}, nil).Read("orders", true, client.From(client.Epoch))
	moves := s.App("moves", []string{"b", "a"}, nil)
	moving := moves.Read("orders", random.IntN(2) == 0, client.From(client.Epoch))
	at := map[*cluster.App]string{p: "a", q: "b", moves: "b"}
	for app, name := range at {
		app.AwaitServer(name)
	}
	p.PublishN("orders", 1, 5)
	q.PublishN("orders", 1, 5)
	p.FlushSafe()
	q.FlushSafe()

	s.Cut("a", "b")
	sent := map[*cluster.App]int{p: 5, q: 5}
	publish := func(app *cluster.App) {
		n := 1 + random.IntN(20)
		app.PublishN("orders", sent[app]+1, sent[app]+n)
		sent[app] += n
	}
	for range 3 {
		publish(p)
		publish(q)
		p.Flush()
		q.Flush()
		for _, app := range []*cluster.App{p, q, moves} {
			if app != p && random.IntN(2) == 0 {
				continue
			}
			to := map[string]string{"a": "b", "b": "a"}[at[app]]
			move(s, app, at[app], to)
			at[app] = to
		}
	}
	for _, app := range []*cluster.App{p, q} {
		if n := acked(app); n != 5 {
			t.Errorf("the store of %s let go up to %d while there was no link", app.Name, n)
		}
	}
	publish(p)
	s.Heal("a", "b")
	publish(q)
	s.AwaitSync()
	p.FlushSafe()
	q.FlushSafe()
	wantNoEvent(s, p, "gap")
	wantNoEvent(s, q, "gap")
	want := [][]string{cluster.Bodies("p", 1, sent[p]), cluster.Bodies("q", 1, sent[q])}
	exactly(t, still.AwaitN(total(want)), want...)
	exactly(t, moving.AwaitN(total(want)), want...)
	wantBoth(t, s, want...)
}

// Case 16. The instance a publisher and a subscriber are on is stopped for a
// minute: its sockets are open and nothing answers. The clients' heartbeats
// find it, and they go on at the other; the link's heartbeat finds it, and the
// other leaves it out. When it runs again it catches up (R2, R5, R9).
func TestCase16HalfDead(t *testing.T) {
	cluster.Run(t, downgradeAfter(5*time.Second), func(s *cluster.System) {
		pub := s.App("pub", []string{"a", "b"}, nil)
		sub := s.App("sub", []string{"a", "b"}, nil)
		r := sub.Read("orders", true, client.From(client.Epoch))
		pub.AwaitServer("a")
		l := pub.Load("orders", 20*time.Millisecond)
		s.Pass(time.Second)

		s.Node("a").Pause()
		defer s.Node("a").Resume()
		begun := time.Now()
		s.Await("b to find the link dead", func() bool { return link(s, "b").State == "down" })
		if found := time.Since(begun); found > 3*time.Second {
			t.Errorf("b found the link dead after %v", found)
		}
		if reason := link(s, "b").Reason; !strings.Contains(reason, "no sign of the peer") && !strings.Contains(reason, "i/o timeout") {
			t.Errorf("the link is down because of: %s", reason)
		}
		pub.AwaitServer("b")
		sub.AwaitServer("b")
		// 2s of silence, at most 5s for an attempt that leads nowhere, and the delays between.
		if found := time.Since(begun); found > 15*time.Second {
			t.Errorf("the clients took %v to find another instance", found)
		}
		s.Pass(time.Minute - time.Since(begun))
		if link(s, "b").Ack != "downgraded" {
			t.Error("b still counts the instance that doesn't answer")
		}
		s.Node("a").Resume()
		s.AwaitSync()
		want := stopLoads(s, l)
		wantBodies(s, "the subscriber", r.AwaitN(len(want[0])), want[0])
		wantBoth(t, s, want...)
	})
}

// Case 16, the other side: the publisher is on the instance that runs on.
// Without downgrade_after nothing is acknowledged during the minute; its
// session stays, and the acks come after it (R2, R5).
func TestCase16HalfDeadPeer(t *testing.T) {
	cluster.Run(t, nil, func(s *cluster.System) {
		pub := s.App("pub", []string{"a"}, nil)
		pub.PublishN("orders", 1, 10)
		pub.FlushSafe()
		s.Node("b").Pause()
		defer s.Node("b").Resume()
		pub.PublishN("orders", 11, 20)
		s.Pass(3 * time.Second)
		if st := link(s, "a"); st.State != "down" {
			t.Errorf("the link to an instance that doesn't answer is %s", st.State)
		}
		s.Pass(57 * time.Second)
		if n := acked(pub); n != 10 {
			t.Errorf("let go up to %d while one instance did not answer", n)
		}
		s.Node("b").Resume()
		s.AwaitSync()
		pub.FlushSafe()
		if n := pub.Client.Stats().Connects; n != 1 {
			t.Errorf("the publisher connected %d times, its instance was always there", n)
		}
		wantBoth(t, s, cluster.Bodies("pub", 1, 20))
	})
}

// Case 21. Both instances are killed with records written and not synced,
// started again, and lose power as soon as the publishers were told that these
// are safe. What was acknowledged is on both disks: what is read back after a
// kill is not durable until it was synced again (R7, G2).
func TestCase21KillBothThenPowerCut(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			cluster.Run(t, nil, func(s *cluster.System) {
				random := rand.New(rand.NewPCG(seed, 21))
				a, b := s.Node("a"), s.Node("b")
				p, q := s.App("p", []string{"a", "b"}, nil), s.App("q", []string{"b", "a"}, nil)
				p.PublishN("orders", 1, 5)
				q.PublishN("orders", 1, 5)
				p.FlushSafe()
				q.FlushSafe()

				a.FS.SyncDelay(time.Second) // more than there will be
				b.FS.SyncDelay(time.Second)
				ofP, ofQ := 6+random.IntN(40), 6+random.IntN(40)
				p.PublishN("orders", 6, ofP)
				q.PublishN("orders", 6, ofQ)
				s.Pass(time.Duration(random.IntN(100)) * time.Millisecond)
				a.Kill()
				b.Kill()
				b.Start()
				a.Start()
				p.FlushSafe()
				q.FlushSafe()
				a.PowerCut()
				b.PowerCut()
				want := [][]string{cluster.Bodies("p", 1, ofP), cluster.Bodies("q", 1, ofQ)}
				for _, n := range []*cluster.Node{a, b} {
					exactly(t, n.Bodies(), want...)
				}

				a.Start()
				b.Start()
				r := s.App("sub", []string{"a"}, nil).Read("orders", true, client.From(client.Epoch))
				exactly(t, r.AwaitN(total(want)), want...)
				s.AwaitSync()
				wantBoth(t, s, want...)
			})
		})
	}
}

// Case 21, in the midst of load: whatever a publisher was told is safe stays
// on both disks through kills and power cuts of both at any moment (G1, G2, R7).
func TestCase21CrashBothUnderLoad(t *testing.T) {
	modes := []memfs.Mode{memfs.KeepAll, memfs.Durable, memfs.Torn(1), memfs.KeepAll, memfs.Hole(2), memfs.Durable}
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			cluster.Run(t, nil, func(s *cluster.System) {
				random := rand.New(rand.NewPCG(seed, 210))
				a, b := s.Node("a"), s.Node("b")
				p, q := s.App("p", []string{"a", "b"}, nil), s.App("q", []string{"b", "a"}, nil)
				sub := s.App("sub", []string{"b", "a"}, nil)
				r := sub.Read("orders", true, client.From(client.Epoch))
				loads := []*cluster.Load{p.Load("orders", 700*time.Microsecond), q.Load("orders", 900*time.Microsecond)}
				for _, mode := range modes {
					s.Pass(time.Duration(20+random.IntN(100_000)) * time.Microsecond)
					a.Crash(mode)
					b.Crash(mode)
					for _, app := range []*cluster.App{p, q} {
						wantPrefix(s, app, durableBodies(a), "a")
						wantPrefix(s, app, durableBodies(b), "b")
					}
					a.FS.SyncDelay(time.Duration(100+random.IntN(900)) * time.Microsecond)
					b.FS.SyncDelay(time.Duration(100+random.IntN(900)) * time.Microsecond)
					a.Start()
					b.Start()
					if random.IntN(2) == 0 {
						s.AwaitSync()
					}
				}
				s.AwaitSync()
				want := stopLoads(s, loads...)
				exactly(t, r.AwaitN(total(want)), want...)
				wantBoth(t, s, want...)
			})
		})
	}
}

// wantPrefix checks that what an application's store has let go of is among bodies.
func wantPrefix(s *cluster.System, app *cluster.App, bodies []string, where string) {
	s.TB.Helper()
	var got []string
	for _, b := range bodies {
		if strings.HasPrefix(b, app.Name+"-") {
			got = append(got, b)
		}
	}
	want := cluster.Bodies(app.Name, 1, acked(app))
	wantBodies(s, "of what "+app.Name+" let go, the disk of "+where, got[:min(len(got), len(want))], want)
}

// One instance cannot be dialled by the other: it dials, and the one
// connection serves both ways. Whichever of the two is killed, or the link
// between them cut, with publishers on both sides: it comes back and both have
// everything (R2, R5).
func TestOnlyOneSideDials(t *testing.T) {
	for _, dials := range []string{"a", "b"} {
		t.Run(dials, func(t *testing.T) {
			cluster.Run(t, func(c *server.Config) {
				if c.Name == dials {
					c.Replication.Listen = ""
				} else {
					c.Replication.Destinations[0].Address = ""
				}
			}, func(s *cluster.System) {
				p, q := s.App("p", []string{"a", "b"}, nil), s.App("q", []string{"b", "a"}, nil)
				r := s.App("sub", []string{"b", "a"}, nil).Read("orders", true, client.From(client.Epoch))
				loads := []*cluster.Load{p.Load("orders", 3*time.Millisecond), q.Load("orders", 4*time.Millisecond)}
				for _, name := range []string{"a", "b", "b", "a"} {
					s.Pass(200 * time.Millisecond)
					s.Node(name).Kill()
					s.Pass(200 * time.Millisecond)
					s.Node(name).Start()
					s.AwaitSync()
				}
				s.Net.Reset("a", "b")
				s.Pass(time.Second)
				s.Cut("a", "b")
				s.Pass(5 * time.Second)
				s.Heal("a", "b")
				s.AwaitSync()
				want := stopLoads(s, loads...)
				exactly(t, r.AwaitN(total(want)), want...)
				wantBoth(t, s, want...)
			})
		})
	}
}
