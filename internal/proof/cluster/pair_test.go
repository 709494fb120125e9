package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
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
	s.CheckSame("a", "b")
	for _, name := range []string{"a", "b"} {
		wantExactly(t, s.Node(name).Bodies(), bodies...)
	}
}

// link returns the state of the link of an instance to the other.
func link(s *cluster.System, name string) server.LinkStatus {
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
	wantExactly(t, still.AwaitN(total(want)), want...)
	wantExactly(t, moving.AwaitN(total(want)), want...)
	wantBoth(t, s, want...)
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
					s.Advance(time.Duration(20+random.IntN(100_000)) * time.Microsecond)
					a.Crash(mode)
					b.Crash(mode)
					for _, app := range []*cluster.App{p, q} {
						wantPrefix(s, app, durableBodies(a), "a")
						wantPrefix(s, app, durableBodies(b), "b")
					}
					a.FS.SetSyncDelay(time.Duration(100+random.IntN(900)) * time.Microsecond)
					b.FS.SetSyncDelay(time.Duration(100+random.IntN(900)) * time.Microsecond)
					a.Start()
					b.Start()
					if random.IntN(2) == 0 {
						s.AwaitSync()
					}
				}
				s.AwaitSync()
				want := stopLoads(s, loads...)
				wantExactly(t, r.AwaitN(total(want)), want...)
				wantBoth(t, s, want...)
			})
		})
	}
}

// wantPrefix checks that the messages that an application's store has let go of are among
// bodies.
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
					s.Advance(200 * time.Millisecond)
					s.Node(name).Kill()
					s.Advance(200 * time.Millisecond)
					s.Node(name).Start()
					s.AwaitSync()
				}
				s.Net.Reset("a", "b")
				s.Advance(time.Second)
				s.Cut("a", "b")
				s.Advance(5 * time.Second)
				s.Heal("a", "b")
				s.AwaitSync()
				want := stopLoads(s, loads...)
				wantExactly(t, r.AwaitN(total(want)), want...)
				wantBoth(t, s, want...)
			})
		})
	}
}
