package cluster_test

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
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
		s.Advance(16 * time.Second)
	}
}

// of returns the bodies of an application in an instance's journal.
func bodiesOf(n *cluster.Node, app *cluster.App) (bodies []string) {
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
		s.Advance(time.Second) // the stores have let go of them on their disks
		gone.Kill()
		passRetention(s, filler, 5)
		s.Node("a").Restart()
		s.AwaitSync()
		passRetention(s, filler, 3)
		s.Cut("a", "b")
		s.Advance(time.Minute)
		s.Heal("a", "b")
		s.AwaitSync()
		passRetention(s, filler, 2)
		s.Node("b").Restart()
		s.AwaitSync()
		passRetention(s, filler, 18)
		for _, name := range []string{"a", "b"} {
			if n := have(s, name, publisherID(gone)); n > 0 {
				t.Errorf("%s still has %d messages of a publisher that is gone", name, n)
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

// A publisher has sent 1 to 5 and received the ack of 3 when its process ends, and both
// instances forget it. When it is back it is unknown whether 4 and 5 were accepted: the
// application is told so, they are not accepted again, and the life goes on after them
// (R10).
func TestForgottenPublisherComesBack(t *testing.T) {
	for _, back := range []string{"a", "b"} {
		t.Run(back, func(t *testing.T) {
			cluster.Run(t, retain(time.Minute), func(s *cluster.System) {
				pub, filler := s.App("pub", []string{"a"}, nil), s.App("filler", []string{"b"}, nil)
				pub.PublishN("orders", 1, 3)
				pub.FlushSafe()
				s.Advance(time.Second) // the store has let go of them on its disk
				s.Net.CutOneWay("a", "pub")
				pub.PublishN("orders", 4, 5)
				s.Await("4 and 5 in both journals", func() bool { return have(s, "b", publisherID(pub)) == 5 })
				pub.Kill()
				s.Heal("a", "pub")
				id := publisherID(pub)
				passRetention(s, filler, 26)
				if have(s, "a", id) > 0 || have(s, "b", id) > 0 {
					t.Fatal("it is not forgotten: the test proves nothing")
				}
				pub.Configure(func(c *client.Config) { c.Servers = s.Servers(back) })
				pub.Restart()
				pub.PublishN("orders", 6, 7)
				pub.FlushSafe()
				wantRejections(s, pub, "rejected 4: outcome unknown", "rejected 5: outcome unknown")
				for _, name := range []string{"a", "b"} {
					s.Node(name).Stop()
					wantExactly(t, bodiesOf(s.Node(name), pub), cluster.Bodies("pub", 6, 7))
				}
			})
		})
	}
}

// named returns the publishers that the place of a process that is dead names.
func placeOfDead(t *testing.T, file *cluster.BookmarkFile) bookmarkstore.Vector {
	t.Helper()
	place, err := file.Store.OpenSubscription("orders", bookmarkstore.Query{Topic: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	defer place.Release()
	v, _ := place.Discarded()
	return v
}

// A publisher ends, and all its messages are removed. The places that name it leave it
// out; that of a subscriber that was away does so once it is back. When the publisher
// comes back, before or after it is forgotten, none of its messages comes again, none is
// missed and no gap is reported, at either instance (R10).
func TestPlacesLeaveOutWhatIsClosed(t *testing.T) {
	cluster.Run(t, retain(time.Minute), func(s *cluster.System) {
		pub, filler := s.App("pub", []string{"a"}, nil), s.App("filler", []string{"b"}, nil)
		places := map[string]*cluster.BookmarkFile{"live": s.BookmarkFile(), "away": s.BookmarkFile()}
		subs := make(map[string]*cluster.App)
		begin := func(name, at string) *cluster.Reader {
			subs[name].Configure(func(c *client.Config) { c.Servers = s.Servers(at) })
			subs[name].Restart()
			return subs[name].Handle("orders", discard, client.From(client.MostRecent), client.ID("orders"))
		}
		end := func(name string, r *cluster.Reader) {
			s.Advance(3 * time.Second)
			places[name].Sync()
			wantNoGap(t, subs[name], r)
			r.Stop()
			places[name].Kill(subs[name])
		}
		names := func(name string, want uint64) {
			t.Helper()
			if got := placeOfDead(t, places[name])[publisherID(pub)]; got != want {
				t.Errorf("the place of %s has the publisher at %d, want %d", name, got, want)
			}
		}
		readers := make(map[string]*cluster.Reader)
		for name, file := range places {
			subs[name] = s.App(name, []string{"a"}, file.Configure)
			readers[name] = subs[name].Handle("orders", discard, client.From(client.MostRecent), client.ID("orders"))
		}
		// comes checks that both subscribers receive the publisher's next messages.
		comes := func(from, to int) {
			t.Helper()
			pub.PublishN("orders", from, to)
			pub.FlushSafe()
			s.Advance(time.Second)
			for name, r := range readers {
				wantExactly(t, r.Bodies(), cluster.Bodies("pub", from, to))
				if err := r.Err(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		comes(1, 3)
		pub.Kill()
		end("away", readers["away"])
		names("away", 3)
		passRetention(s, filler, 17)
		end("live", readers["live"])
		names("live", 0)
		end("away", begin("away", "b"))
		names("away", 0)
		if have(s, "a", publisherID(pub)) != 3 || have(s, "b", publisherID(pub)) != 3 {
			t.Fatal("the publisher is forgotten already")
		}
		for n, at := range []string{"b", "a"} {
			pub.Configure(func(c *client.Config) { c.Servers = s.Servers(at) })
			pub.Restart()
			readers["live"], readers["away"] = begin("live", "a"), begin("away", "b")
			comes(4+2*n, 5+2*n)
			for name := range places {
				end(name, readers[name])
				names(name, uint64(5+2*n))
			}
			pub.Kill()
			passRetention(s, filler, 17)
			for name := range places {
				end(name, begin(name, at))
				names(name, 0)
			}
			passRetention(s, filler, 10)
			if have(s, "a", publisherID(pub)) > 0 || have(s, "b", publisherID(pub)) > 0 {
				t.Fatal("the publisher is not forgotten")
			}
		}
		wantRejections(s, pub)
	})
}
