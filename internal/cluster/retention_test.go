package cluster_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/cluster"
	"github.com/holdfast-mq/holdfast/server"
)

// Retention has removed on A what B lacks, whose disk was wiped. B joins, and
// knows of the messages that they are gone: subscribers below the gap are told
// on B as on A, by an error or where they accept it in its place, those above
// it go on, and so does the publisher when A dies (R2, R9, G7).
func TestCase27WipedBelowTheFloor(t *testing.T) {
	for _, where := range []string{"a", "b"} {
		t.Run(where, func(t *testing.T) {
			cluster.Run(t, retain(time.Minute), func(s *cluster.System) {
				pub := s.App("pub", []string{"a", "b"}, nil)
				pub.AwaitServer("a")
				strict, lenient, above := newReturning(s, "strict"), newReturning(s, "lenient"), newReturning(s, "above")
				publishLong(s, pub, "orders", 1, 200)
				pub.FlushSafe()
				strict.goAfter(10)
				lenient.goAfter(10)
				above.goAfter(200)
				s.Pass(2 * time.Minute)
				publishLong(s, pub, "orders", 201, 210)
				pub.FlushSafe()

				s.Node("b").Kill()
				s.Node("b").Wipe()
				s.Node("b").Start()
				s.AwaitSync()
				if where == "b" {
					s.Node("a").Kill()
				}
				gone := int(floor(s, where, "orders", pub))
				if gone <= 10 || gone > 200 {
					t.Fatalf("retention has removed up to %d: nothing is tried", gone)
				}

				wantGap := client.Gap{Publisher: publisherID(pub), From: 11, To: uint64(gone)}
				var gap *client.GapError
				if err := strict.back(where); !errors.As(err, &gap) || !slices.Equal(gap.Gaps, []client.Gap{wantGap}) {
					t.Errorf("a subscriber below the gap was told %v, want %v", err, wantGap)
				}
				var told []client.Gap
				err := lenient.back(where, client.OnGap(func(e *client.GapError) { told = append(told, e.Gaps...) }))
				if err != nil {
					t.Fatal(err)
				}
				if err := above.back(where); err != nil {
					t.Fatal(err)
				}
				publishLong(s, pub, "orders", 211, 220)
				exactly(t, names(lenient.r.AwaitN(220-gone)), cluster.Bodies("pub", gone+1, 220))
				exactly(t, names(above.r.AwaitN(20)), cluster.Bodies("pub", 201, 220))
				if !slices.Equal(told, []client.Gap{wantGap}) {
					t.Errorf("a subscriber that accepts gaps was told %v, want %v", told, wantGap)
				}
				if where == "b" {
					s.Node("a").Start()
				}
				s.AwaitSync()
				pub.FlushSafe()
			})
		})
	}
}

// An application stops reading for longer than retention, with its queue full
// and the subscription paused, and another instance in place of its own. When
// it reads on it gets what was queued, then it is told what is gone, and if it
// accepts that it goes on behind it: all in its order, nothing twice (R9, R12, G7).
func TestCase27PausedBelowTheFloor(t *testing.T) {
	cluster.Run(t, retain(time.Minute), func(s *cluster.System) {
		pub := s.App("pub", []string{"b"}, nil)
		sub := s.App("sub", []string{"a", "b"}, func(c *client.Config) { c.QueueMessages = 8 })
		hold := make(chan struct{})
		slow := func(m *client.Message) error { <-hold; return m.Discard() }
		strict := sub.Handle("orders", slow, client.From(client.Epoch))
		var lenient *cluster.Reader
		var told []client.Gap
		var before []string // what it had when it was told
		lenient = sub.Handle("orders", slow, client.From(client.Epoch), client.OnGap(func(e *client.GapError) {
			told = append(told, e.Gaps...)
			before = lenient.Got()
		}))
		sub.AwaitServer("a")
		publishLong(s, pub, "orders", 1, 200)
		pub.FlushSafe()
		s.Pass(2 * time.Minute)
		s.Node("a").Kill()
		sub.AwaitServer("b")
		publishLong(s, pub, "orders", 201, 210)
		gone := int(floor(s, "b", "orders", pub))
		close(hold)

		had := len(strict.AwaitN(210))
		want := []client.Gap{{Publisher: publisherID(pub), From: uint64(had + 1), To: uint64(gone)}}
		exactly(t, names(strict.Got()), cluster.Bodies("pub", 1, had))
		var gap *client.GapError
		if err := strict.Err(); !errors.As(err, &gap) || !slices.Equal(gap.Gaps, want) {
			t.Errorf("the subscription ended with %v, want the gap %v", err, want)
		}
		rest := cluster.Bodies("pub", gone+1, 210)
		exactly(t, names(lenient.AwaitN(had+len(rest))), slices.Concat(cluster.Bodies("pub", 1, had), rest))
		if !slices.Equal(told, want) || len(before) != had {
			t.Errorf("was told %v behind %d messages, want %v behind %d", told, len(before), want, had)
		}
		s.Node("a").Start()
		s.AwaitSync()
		pub.FlushSafe()
	})
}

// A subscription that has received nothing is away while everything is
// published and removed again. What it sends to resume is what a first
// subscribe sends, yet the application is told what it has missed (R9).
func TestCase27NothingReceived(t *testing.T) {
	cluster.Run(t, retain(time.Minute), func(s *cluster.System) {
		pub := s.App("pub", []string{"a"}, nil)
		sub := s.App("sub", []string{"a", "b"}, nil)
		strict := sub.Read("orders", true, client.From(client.Epoch))
		lenient := sub.Read("orders", true, client.From(client.Epoch), client.AcceptGaps())
		s.Cut("sub", "a")
		s.Cut("sub", "b")
		publishLong(s, pub, "orders", 1, 200)
		pub.FlushSafe()
		s.Pass(2 * time.Minute)
		gone := int(floor(s, "a", "orders", pub))
		s.Heal("sub", "a")
		s.Heal("sub", "b")

		rest := cluster.Bodies("pub", gone+1, 200)
		exactly(t, names(lenient.AwaitN(len(rest))), rest)
		want := []client.Gap{{Publisher: publisherID(pub), From: 1, To: uint64(gone)}}
		var gap *client.GapError
		if err := strict.Err(); !errors.As(err, &gap) || !slices.Equal(gap.Gaps, want) {
			t.Errorf("the subscription ended with %v, want the gap %v", err, want)
		}
	})
}

// A publisher is silent for longer than retention, or so long that nobody
// knows it any more, and both instances are restarted. It goes on where it
// was, in its life and with its next number, on either instance, and a
// subscriber that has not seen its last messages is told (R2, R10).
func TestCase27SilentPublisher(t *testing.T) {
	for _, tt := range []struct {
		name    string
		silent  time.Duration
		forgets bool
	}{
		{"known", 100 * time.Second, false},
		{"forgotten", 5 * time.Minute, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cluster.Run(t, retain(time.Minute), func(s *cluster.System) {
				quiet, busy := s.App("quiet", []string{"a"}, nil), s.App("busy", []string{"b"}, nil)
				behind := newReturning(s, "behind")
				quiet.PublishN("orders", 1, 5)
				quiet.FlushSafe()
				behind.goAfter(2)
				quiet.Kill()
				publishLong(s, busy, "ticks", 1, 200)
				s.Pass(tt.silent)
				publishLong(s, busy, "ticks", 201, 210)
				busy.FlushSafe()
				for _, name := range []string{"a", "b"} {
					if st := s.Node(name).Server.Status(); (st.Publishers == 1) != tt.forgets {
						t.Errorf("%s knows %d publishers", name, st.Publishers)
					}
					s.Node(name).Kill()
				}
				s.Node("a").Start()
				s.Node("b").Start()
				s.AwaitSync()
				if !tt.forgets {
					var gap *client.GapError
					want := client.Gap{Publisher: publisherID(quiet), From: 3, To: 5}
					if err := behind.back("b"); !errors.As(err, &gap) || !slices.Contains(gap.Gaps, want) {
						t.Errorf("a subscriber below the gap was told %v, want %v", err, want)
					}
				}

				r := s.App("sub", []string{"b"}, nil).Read("orders", true, client.From(client.Now))
				quiet.Use(func(c *client.Config) { c.Servers = s.Servers("b") })
				quiet.Restart()
				quiet.PublishN("orders", 6, 10)
				quiet.FlushSafe()
				exactly(t, r.AwaitN(5), cluster.Bodies("quiet", 6, 10))
				for i, m := range r.Marks() {
					if want := uint64(6 + i); m.Bookmark.Sequence != want {
						t.Errorf("message %d has the sequence %d", want, m.Bookmark.Sequence)
					}
				}
				for _, e := range quiet.Events() {
					if strings.HasPrefix(e, "gap") {
						t.Errorf("the publisher was told of a gap: %s", e)
					}
				}
				s.Finish()
				s.Same("a", "b")
			})
		})
	}
}

// retain configures a short retention in small segments.
func retain(age time.Duration) func(*server.Config) {
	return func(c *server.Config) {
		c.Log.Segment = 64 << 10
		c.Log.Retain = server.Duration(age)
	}
}

// publishLong publishes NAME-from to NAME-to, each with a kilobyte behind it.
func publishLong(s *cluster.System, a *cluster.App, topic string, from, to int) {
	s.TB.Helper()
	for _, body := range cluster.Bodies(a.Name, from, to) {
		a.Publish(topic, body+strings.Repeat(" ", 1<<10))
	}
}

// names returns what publishLong put before the kilobyte.
func names(bodies []string) []string {
	short := make([]string, len(bodies))
	for i, b := range bodies {
		short[i] = strings.TrimSpace(b)
	}
	return short
}

// A returning is a subscriber that goes away for long and comes back.
type returning struct {
	s   *cluster.System
	app *cluster.App
	pl  *place
	r   *cluster.Reader
}

func newReturning(s *cluster.System, name string) *returning {
	s.TB.Helper()
	v := &returning{s: s, pl: newPlace(s)}
	v.app = s.App(name, []string{"a"}, v.pl.use)
	return v
}

// goAfter reads so many messages of "orders", discards them and goes.
func (v *returning) goAfter(n int) {
	v.s.TB.Helper()
	left := n
	v.r = v.app.Handle("orders", func(m *client.Message) error {
		if left--; left < 0 {
			return nil
		}
		return m.Discard()
	}, client.From(client.MostRecent), client.ID("orders"))
	v.r.AwaitN(n)
	v.pl.sync()
	v.pl.crash(v.app, func(c *client.Config) { c.Offline = true; c.Servers = v.s.Servers("nowhere") })
}

// back comes back to one instance and returns what Subscribe returned.
func (v *returning) back(name string, opts ...client.SubscribeOption) (err error) {
	v.s.TB.Helper()
	v.pl.crash(v.app, func(c *client.Config) { c.Servers = v.s.Servers(name) })
	opts = append(opts, client.From(client.MostRecent), client.ID("orders"))
	v.r, err = v.app.TryHandle("orders", (*client.Message).Discard, opts...)
	return err
}

// floor returns how far retention has removed a publisher's messages on an
// instance: what a subscription is told that begins behind the first of them.
func floor(s *cluster.System, name, topic string, publisher *cluster.App) uint64 {
	s.TB.Helper()
	probe := s.App("floor-of-"+publisher.Name+"-on-"+name, []string{name}, nil)
	ctx, cancel := s.Context()
	defer cancel()
	first := client.Bookmark{Publisher: publisherID(publisher), Sequence: 1}
	_, err := probe.Client.Subscribe(ctx, topic, client.From(client.After(first)))
	var gap *client.GapError
	if !errors.As(err, &gap) {
		return 0
	}
	for _, g := range gap.Gaps {
		if g.Publisher == first.Publisher {
			return g.To
		}
	}
	return 0
}

// publisherID returns the id of the newest life of an application's store.
func publisherID(a *cluster.App) uint64 {
	lives := a.Store.Lives()
	return bookmark.Hash(lives[len(lives)-1].ID)
}
