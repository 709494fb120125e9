package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/cluster"
	"github.com/holdfast-mq/holdfast/server"
)

// Case 14. An instance comes back with an empty disk while publishers go on.
// While it is away nothing is acknowledged as safe. It gets all there is from
// its peer, whoever took it in first, and what comes meanwhile; the journals
// are the same, and subscribers on both have seen everything once (R2, R6, G5).
func TestCase14WipedPeerRejoinsUnderLoad(t *testing.T) {
	for _, wiped := range []string{"a", "b"} {
		t.Run(wiped, func(t *testing.T) {
			cluster.Run(t, nil, func(s *cluster.System) {
				p, q := s.App("p", []string{"a", "b"}, nil), s.App("q", []string{"b", "a"}, nil)
				r1 := s.App("r1", []string{"a", "b"}, nil).Read("orders", true, client.From(client.Epoch))
				r2 := s.App("r2", []string{"b", "a"}, nil).Read("orders", true, client.From(client.Epoch))
				loads := []*cluster.Load{p.Load("orders", 4*time.Millisecond), q.Load("orders", 5*time.Millisecond)}
				s.Pass(500 * time.Millisecond)
				s.Node(wiped).Kill()
				s.Pass(5 * time.Millisecond)
				p0, q0 := acked(p), acked(q)
				if p0 == 0 || q0 == 0 {
					t.Fatalf("acknowledged before: %d and %d", p0, q0)
				}
				s.Pass(time.Second)
				s.Node(wiped).Wipe()
				s.Node(wiped).FS.SyncDelay(3 * time.Millisecond)
				if acked(p) != p0 || acked(q) != q0 {
					t.Errorf("let go while one instance was away: from %d to %d, from %d to %d", p0, acked(p), q0, acked(q))
				}
				s.Node(wiped).Start()
				s.AwaitSync()
				s.Pass(300 * time.Millisecond)
				want := stopLoads(s, loads...)
				exactly(t, r1.AwaitN(total(want)), want...)
				exactly(t, r2.AwaitN(total(want)), want...)
				wantBoth(t, s, want...)
			})
		})
	}
}

// Case 17. Both instances are restarted in turn, ten times, under load: in
// order or by a kill, each as soon as the other is in sync again. Nothing is
// lost, nothing is there twice, nobody is told of a gap, and a subscriber with
// its place on disk sees everything once (G1 to G6, R6).
func TestCase17RollingRestart(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			cluster.Run(t, nil, func(s *cluster.System) {
				random := rand.New(rand.NewPCG(seed, 17))
				p, q := s.App("p", []string{"a", "b"}, nil), s.App("q", []string{"b", "a"}, nil)
				sub := s.App("sub", []string{"a", "b"}, nil)
				r := sub.Read("orders", random.IntN(2) == 0, client.From(client.Epoch))
				loads := []*cluster.Load{p.Load("orders", 10*time.Millisecond), q.Load("orders", 11*time.Millisecond)}
				for range 10 {
					for _, name := range []string{"a", "b"} {
						n := s.Node(name)
						s.Pass(time.Duration(random.IntN(100_000)) * time.Microsecond)
						if random.IntN(2) == 0 {
							n.Shutdown()
						} else {
							n.Kill()
						}
						s.Pass(time.Duration(random.IntN(200_000)) * time.Microsecond)
						n.Start()
						s.AwaitSync()
					}
				}
				want := stopLoads(s, loads...)
				exactly(t, r.AwaitN(total(want)), want...)
				wantNoEvent(s, p, "gap")
				wantNoEvent(s, q, "gap")
				wantBoth(t, s, want...)
			})
		})
	}
}

// Case 22. One instance comes back with an empty disk, and the other dies as
// soon as the resync is over: its disk is lost, and the one that has just
// come back loses power. All that was acknowledged is on that one's disk (R2, G2).
func TestCase22TheOtherDiesAfterTheResync(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			cluster.Run(t, nil, func(s *cluster.System) {
				random := rand.New(rand.NewPCG(seed, 22))
				a, b := s.Node("a"), s.Node("b")
				p, q := s.App("p", []string{"a", "b"}, nil), s.App("q", []string{"b", "a"}, nil)
				loads := []*cluster.Load{p.Load("orders", 3*time.Millisecond), q.Load("orders", 4*time.Millisecond)}
				s.Pass(time.Duration(300+random.IntN(300)) * time.Millisecond)
				b.Kill()
				b.Wipe()
				s.Pass(time.Duration(random.IntN(300)) * time.Millisecond)
				b.FS.SyncDelay(time.Duration(1+random.IntN(30)) * time.Millisecond)
				b.Start()
				s.AwaitSync()
				s.Pass(time.Duration(random.IntN(20_000)) * time.Microsecond)
				a.Kill()
				a.Wipe()
				b.PowerCut()
				for _, app := range []*cluster.App{p, q} {
					wantPrefix(s, app, b.Bodies(), "b")
				}
				b.Start()
				a.Start()
				s.AwaitSync()
				want := stopLoads(s, loads...)
				wantBoth(t, s, want...)
			})
		})
	}
}

// Case 22, with clients: the instance that comes back with an empty disk
// serves them only when it has what its peer had. The other dies for good at
// that very moment: a subscriber that comes to it from nothing sees all that
// was acknowledged, one that had seen it sees the rest, and the publisher goes
// on (R6, R4).
func TestCase22ReadyMeansCaughtUp(t *testing.T) {
	cluster.Run(t, downgradeAfter(time.Second), func(s *cluster.System) {
		a, b := s.Node("a"), s.Node("b")
		pub := s.App("pub", []string{"a", "b"}, nil)
		old := s.App("old", []string{"a", "b"}, nil).Read("orders", true, client.From(client.Epoch))
		// More than fits into memory, on a slow disk: catching up takes a while.
		const big = 160
		for _, body := range cluster.Bodies("pub", 1, big) {
			pub.Publish("orders", body+strings.Repeat(" ", 100<<10))
		}
		pub.FlushSafe()
		old.AwaitN(big)
		b.Kill()
		b.Wipe()
		b.FS.SyncDelay(20 * time.Millisecond)
		begun := time.Now()
		b.Start()
		b.Ready()
		if time.Since(begun) < 40*time.Millisecond {
			t.Error("the instance had nothing to catch up with: nothing is tried")
		}
		a.Kill()
		fresh := s.App("fresh", []string{"b"}, nil).Read("orders", true, client.From(client.Epoch))
		pub.PublishN("orders", big+1, big+10)
		pub.Flush()
		want := cluster.Bodies("pub", 1, big+10)
		wantBodies(s, "a new subscriber", names(fresh.AwaitN(len(want))), want)
		wantBodies(s, "the old subscriber", names(old.AwaitN(len(want))), want)
		wantNoEvent(s, pub, "gap")
		a.Wipe()
		a.Start()
		s.AwaitSync()
		pub.FlushSafe()
		s.Finish()
		s.Same("a", "b")
	})
}

// Case 31. An instance starts while its peer can be reached and stalls: it
// accepts and says nothing, or says hello over and over and never gets through
// with what it has. After rejoin_timeout, not before and not much later, the
// instance serves all the same, and says so to its clients. A publisher whose
// acknowledged messages it lacks is turned away; when the peer is well again
// it goes on and nobody is told that anything is missing any more (R6, R4, G7).
func TestCase31PeerStallsAtTheStart(t *testing.T) {
	for _, tt := range []struct {
		name  string
		stall func(s *cluster.System) (heal func())
	}{
		{"says nothing", func(s *cluster.System) func() {
			s.Node("b").Pause()
			return s.Node("b").Resume
		}},
		{"brings nothing", func(s *cluster.System) func() {
			s.Net.ResetEvery("b", "a", 4<<10)
			return func() { s.Heal("b", "a") }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cluster.Run(t, nil, func(s *cluster.System) {
				a := s.Node("a")
				pub := s.App("pub", []string{"a"}, nil)
				publishLong(s, pub, "orders", 1, 50)
				pub.FlushSafe()
				a.Kill()
				a.Wipe()
				heal := tt.stall(s)
				begun := time.Now()
				a.Start()
				timeout := time.Duration(a.Config.RejoinTimeout)
				s.Pass(timeout - 100*time.Millisecond)
				if a.Server.Status().Ready {
					t.Fatal("clients are served although the instance has not caught up")
				}
				a.Ready()
				if took := time.Since(begun); took > 2*timeout {
					t.Errorf("clients are served after %v, rejoin_timeout is %v", took, timeout)
				}

				other := s.App("other", []string{"a"}, nil)
				other.AwaitServer("a")
				if !other.Client.Stats().Server.CatchingUp || !a.Server.Status().CatchingUp {
					t.Error("clients are not told that the instance has not caught up")
				}
				other.PublishN("orders", 1, 10)
				s.Await("the publisher to be turned away", func() bool { return pub.Client.Stats().Publish.GapRefusals > 0 })

				heal()
				s.AwaitSync()
				s.Await("the instance to have caught up", func() bool { return !a.Server.Status().CatchingUp })
				pub.PublishN("orders", 51, 60)
				pub.FlushSafe()
				other.FlushSafe()
				late := s.App("late", []string{"a"}, nil)
				late.AwaitServer("a")
				if late.Client.Stats().Server.CatchingUp {
					t.Error("clients are told that the instance has not caught up when it has")
				}
				s.Finish()
				s.Same("a", "b")
				exactly(t, names(a.Bodies()), cluster.Bodies("pub", 1, 60), cluster.Bodies("other", 1, 10))
			})
		})
	}
}

// Case 31. A peer is away for days, and the publishers go on. The survivor
// keeps the log for it up to hold, whatever retention says: back before that
// is full the peer lacks nothing. Beyond it the peer is given up, loudly, and
// the disk does not fill up; back then it is told of what is gone, and is in
// sync again (R5, R2).
func TestCase31PeerAwayForDays(t *testing.T) {
	const hold, segment = 1 << 20, 64 << 10
	configure := func(c *server.Config) {
		c.Hold = hold
		c.Log.Segment = segment
		c.Log.Retain = server.Duration(time.Hour)
		downgradeAfter(5 * time.Second)(c)
	}
	for _, tt := range []struct {
		name    string
		days    int
		givenUp bool
	}{
		{"less than hold", 2, false},
		{"more than hold", 7, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cluster.Run(t, configure, func(s *cluster.System) {
				a, b := s.Node("a"), s.Node("b")
				pub := s.App("pub", []string{"a"}, nil)
				publishLong(s, pub, "orders", 1, 10)
				pub.FlushSafe()
				b.Kill()
				sent, most := 10, int64(0)
				for range tt.days {
					publishLong(s, pub, "orders", sent+1, sent+300)
					sent += 300
					pub.Flush()
					pub.Kill() // its heartbeats of a day would take a while
					s.Pass(24 * time.Hour)
					pub.Restart()
					most = max(most, a.Server.Status().JournalBytes)
				}
				if got := link(s, "a").GivenUp; got != tt.givenUp {
					t.Errorf("given up: %v", got)
				}
				if most > hold+8*segment {
					t.Errorf("the journal grew to %d bytes, it may hold back %d", most, hold)
				}

				b.Start()
				s.AwaitSync()
				publishLong(s, pub, "orders", sent+1, sent+10)
				pub.FlushSafe()
				s.Await("b to count again", func() bool { return link(s, "a").Ack == "counting" && !link(s, "a").GivenUp })
				wantNoEvent(s, pub, "gap")
				s.Finish()
				want := cluster.Bodies("pub", 1, sent+10)
				got := names(b.Bodies())
				if !tt.givenUp {
					wantBodies(s, "the journal of b", got, want)
					return
				}
				if len(got) < 10 || len(got) >= len(want) {
					t.Errorf("b has %d of %d messages: nothing is tried", len(got), len(want))
				}
				wantBodies(s, "the end of the journal of b", got[10:], want[len(want)-len(got)+10:])
				for _, body := range names(a.Bodies()) {
					if !strings.Contains(strings.Join(got, " ")+" ", body+" ") {
						t.Errorf("a has %s, b does not", body)
					}
				}
			})
		})
	}
}

// Retention has removed the beginning of what publishers have sent when one
// instance comes back with an empty disk. It is told what is gone, and what the
// running CRC is there: ever after, through restarts of both, the instances
// agree that they have the same messages (R2, R11).
func TestRejoinBehindTheFloorIsNoDivergence(t *testing.T) {
	cluster.Run(t, func(c *server.Config) {
		c.Log.Segment = 64 << 10
		c.Log.RetainBytes = 128 << 10
	}, func(s *cluster.System) {
		a, b := s.Node("a"), s.Node("b")
		p, q := s.App("p", []string{"a", "b"}, nil), s.App("q", []string{"b", "a"}, nil)
		sent := 0
		publish := func() {
			for range 10 {
				publishLong(s, p, "orders", sent+1, sent+10)
				publishLong(s, q, "orders", sent+1, sent+10)
				sent += 10
			}
			p.FlushSafe()
			q.FlushSafe()
		}
		publish()
		publish()
		if a.Server.Trim() == 0 {
			t.Fatal("nothing was removed: nothing is tried")
		}
		b.Kill()
		b.Wipe()
		b.Start()
		s.AwaitSync()
		publish()
		for _, n := range []*cluster.Node{b, a} {
			n.Restart()
			s.AwaitSync()
			p.PublishN("orders", sent+1, sent+5)
			q.PublishN("orders", sent+1, sent+5)
			sent += 5
			p.FlushSafe()
			q.FlushSafe()
			s.Pass(5 * time.Second) // heartbeats have compared
		}
		for _, name := range []string{"a", "b"} {
			if st := link(s, name); st.Diverged != 0 || st.Refused != 0 {
				t.Errorf("%s: refused %d, diverged %d", name, st.Refused, st.Diverged)
			}
		}
	})
}
