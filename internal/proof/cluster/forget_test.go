package cluster_test

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
)

// have returns how far an instance has a publisher, 0 if it does not know it.
func have(s *cluster.System, name string, publisher uint64) uint64 {
	for _, p := range s.Node(name).Server.Publishers(0, 1000).Publishers {
		if p.Publisher == publisher {
			return p.Have
		}
	}
	return 0
}

// passRetention lets quarters of a retention of one minute pass, with enough
// published by another to fill segments.
func passRetention(s *cluster.System, filler *cluster.App, quarters int) {
	s.TB.Helper()
	for range quarters {
		publishLong(s, filler, "ticks", 1, 100)
		filler.FlushSafe()
		s.Pass(16 * time.Second)
	}
}

// of returns the bodies of an application in an instance's journal.
func of(n *cluster.Node, app *cluster.App) (bodies []string) {
	for _, b := range n.Bodies() {
		if strings.HasPrefix(b, app.Name+"-") {
			bodies = append(bodies, strings.TrimSpace(b))
		}
	}
	return bodies
}

// Both instances forget a publisher, also if the link is cut and they are restarted
// meanwhile, and one that is silent, but there, is not forgotten (R10).
func TestBothForget(t *testing.T) {
	cluster.Run(t, retain(time.Minute), func(s *cluster.System) {
		gone, silent, filler := s.App("gone", []string{"a"}, nil), s.App("silent", []string{"b"}, nil), s.App("filler", []string{"b"}, nil)
		for _, app := range []*cluster.App{gone, silent} {
			app.PublishN("orders", 1, 3)
			app.FlushSafe()
		}
		s.Pass(time.Second) // the stores have let go of them on their disks
		gone.Kill()
		passRetention(s, filler, 5)
		s.Node("a").Restart()
		s.AwaitSync()
		passRetention(s, filler, 3)
		s.Cut("a", "b")
		s.Pass(time.Minute)
		s.Heal("a", "b")
		s.AwaitSync()
		passRetention(s, filler, 2)
		s.Node("b").Restart()
		s.AwaitSync()
		passRetention(s, filler, 6)
		for _, name := range []string{"a", "b"} {
			if n := have(s, name, publisherID(gone)); n > 0 {
				t.Errorf("%s has not forgotten a publisher that is gone, of which it has %d", name, n)
			}
			if n := have(s, name, publisherID(silent)); n != 3 {
				t.Errorf("%s has %d of a publisher that is silent", name, n)
			}
			if st := link(s, name); st.Refused != 0 || st.Diverged != 0 {
				t.Errorf("%s: %+v", name, st)
			}
		}
		silent.PublishN("orders", 4, 5)
		silent.FlushSafe()
		gone.Restart()
		gone.PublishN("orders", 4, 5)
		gone.FlushSafe()
		wantRejections(s, gone)
	})
}

// A publisher has sent 1 to 5 and heard of 3 when its process ends, and both instances
// forget it. When it is there again nobody knows whether 4 and 5 were taken: the
// application is told so, they are not taken again, and the life goes on behind
// them (R10).
func TestForgottenPublisherComesBack(t *testing.T) {
	for _, back := range []string{"a", "b"} {
		t.Run(back, func(t *testing.T) {
			cluster.Run(t, retain(time.Minute), func(s *cluster.System) {
				pub, filler := s.App("pub", []string{"a"}, nil), s.App("filler", []string{"b"}, nil)
				pub.PublishN("orders", 1, 3)
				pub.FlushSafe()
				s.Pass(time.Second) // the store has let go of them on its disk
				s.Net.CutOneWay("a", "pub")
				pub.PublishN("orders", 4, 5)
				s.Await("4 and 5 in both journals", func() bool { return have(s, "b", publisherID(pub)) == 5 })
				pub.Kill()
				s.Heal("a", "pub")
				id := publisherID(pub)
				passRetention(s, filler, 14)
				if have(s, "a", id) > 0 || have(s, "b", id) > 0 {
					t.Fatal("it is not forgotten: nothing is tried")
				}
				pub.Use(func(c *client.Config) { c.Servers = s.Servers(back) })
				pub.Restart()
				pub.PublishN("orders", 6, 7)
				pub.FlushSafe()
				wantRejections(s, pub, "rejected 4: outcome unknown", "rejected 5: outcome unknown")
				for _, name := range []string{"a", "b"} {
					s.Node(name).Stop()
					exactly(t, of(s.Node(name), pub), cluster.Bodies("pub", 6, 7))
				}
			})
		})
	}
}
