package cluster_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/server"
)

// removes runs a scenario on a pair in which a removes messages that are older than a
// minute, and b removes nothing.
func withRetentionOnA(t *testing.T, scenario func(*cluster.System)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := cluster.New(t)
		s.Add("a", retain(time.Minute), "b").Start()
		s.Add("b", retain(1000*time.Hour), "a").Start()
		s.AwaitSync()
		scenario(s)
		s.Finish()
	})
}

// resumeAt restarts a subscriber that takes up its place on the servers named.
func resumeAt(s *cluster.System, file *cluster.BookmarkFile, sub *cluster.App, servers []string, handle func(*client.Message) error, opts ...client.SubscribeOption) (*cluster.Reader, error) {
	file.Sync()
	file.Crash(sub, func(c *client.Config) { c.Servers = s.Servers(servers...) })
	return sub.TryHandle("orders", handle, append(opts, client.From(client.MostRecent), client.ID("orders"))...)
}

func discard(m *client.Message) error { return m.Discard() }

// beginsAt starts a subscriber that has received and discarded the first messages.
func startWithPlace(s *cluster.System, file *cluster.BookmarkFile, pubs ...*cluster.App) *cluster.App {
	sub := s.App("sub", []string{"a"}, file.Configure)
	r := sub.Handle("orders", discard, client.From(client.MostRecent), client.ID("orders"))
	for _, pub := range pubs {
		publishLong(s, pub, "orders", 1, 10)
	}
	r.AwaitN(10 * len(pubs))
	r.Stop()
	s.Advance(time.Second)
	file.Sync()
	file.Kill(sub)
	return sub
}

// A subscriber that was away resumes at an instance that has removed the messages that it
// missed. The peer has everything, and the subscriber gets it, with a queue that holds
// all of it or a little at a time (R9).
func TestGapIsFilledFromThePeer(t *testing.T) {
	for _, queue := range []int{2000, 8} {
		withRetentionOnA(t, func(s *cluster.System) {
			pub, file := s.App("pub", []string{"a", "b"}, nil), s.BookmarkFile()
			sub := startWithPlace(s, file, pub)
			sub.Configure(func(c *client.Config) { c.QueueMessages = queue })
			publishLong(s, pub, "orders", 11, 1000)
			pub.FlushSafe()
			s.Advance(3 * time.Minute)
			publishLong(s, pub, "orders", 1001, 1002)
			if floor(s, "a", "orders", pub) < 200 || floor(s, "b", "orders", pub) != 0 {
				t.Fatal("a has removed nothing, or b has: the test proves nothing")
			}
			sub.Restart()
			r, err := resumeAt(s, file, sub, []string{"a", "b"}, discard)
			if err != nil {
				t.Fatal(err)
			}
			wantExactly(t, trimBodies(r.AwaitN(992)), cluster.Bodies("pub", 11, 1002))
			wantNoGap(t, sub, r)
			if st := sub.Client.Stats(); st.Server.Server != s.Servers("a")[0] || st.State != client.StateLive {
				t.Errorf("the client is %v on %s", st.State, st.Server.Server)
			}
		})
	}
}

// A subscriber was away. Meanwhile a has removed messages of q, and b messages of p,
// which the subscriber knows already, or not. Each set comes from the other instance, and
// the client moves to neither (R9).
func TestGapsOfTwoInstances(t *testing.T) {
	configure := func(c *server.Config) {
		retain(5 * time.Minute)(c)
		c.Replication.Destinations[0].DowngradeAfter = server.Duration(time.Second)
	}
	for _, known := range []bool{true, false} {
		cluster.Run(t, configure, func(s *cluster.System) {
			p, q, file := s.App("p", []string{"b"}, nil), s.App("q", []string{"a"}, nil), s.BookmarkFile()
			from, pubs := 1, []*cluster.App{q}
			if known {
				from, pubs = 11, []*cluster.App{p, q}
			}
			sub := startWithPlace(s, file, pubs...)
			s.Cut("a", "b")
			publishLong(s, p, "orders", from, 150)
			publishLong(s, q, "orders", 11, 150)
			s.Advance(4 * time.Minute)
			s.Heal("a", "b")
			s.AwaitSync()
			s.Advance(150 * time.Second)
			if floor(s, "a", "orders", p) > 10 || floor(s, "a", "orders", q) <= 10 || floor(s, "b", "orders", q) > 10 || floor(s, "b", "orders", p) <= 10 {
				t.Fatal("they have not removed what the other one has: the test proves nothing")
			}
			sub.Restart()
			r, err := resumeAt(s, file, sub, []string{"a", "b"}, discard)
			if err != nil {
				t.Fatal(err)
			}
			wantExactly(t, trimBodies(r.AwaitN(150-from+1+140)), cluster.Bodies("p", from, 150), cluster.Bodies("q", 11, 150))
			wantNoGap(t, sub, r)
			if moves := sub.Client.Stats().Moves; len(moves) > 1 {
				t.Errorf("the client has moved: %v", moves)
			}
		})
	}
}

// bothLack runs a scenario on a pair in which both have removed the first of the messages
// that a subscriber missed, a more than b.
func withCommonGap(t *testing.T, scenario func(s *cluster.System, file *cluster.BookmarkFile, sub *cluster.App, common client.Gap)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := cluster.New(t)
		s.Add("a", retain(time.Minute), "b").Start()
		s.Add("b", retain(10*time.Minute), "a").Start()
		s.AwaitSync()
		pub, file := s.App("pub", []string{"a", "b"}, nil), s.BookmarkFile()
		sub := startWithPlace(s, file, pub)
		publishLong(s, pub, "orders", 11, 200)
		s.Advance(9 * time.Minute)
		publishLong(s, pub, "orders", 201, 400)
		s.Advance(3 * time.Minute)
		publishLong(s, pub, "orders", 401, 402)
		common := client.Gap{Publisher: publisherID(pub), From: 11, To: floor(s, "b", "orders", pub)}
		if common.To < 100 || floor(s, "a", "orders", pub) <= common.To {
			t.Fatalf("a has removed %d, b %d: the test proves nothing", floor(s, "a", "orders", pub), common.To)
		}
		sub.Restart()
		scenario(s, file, sub, common)
		s.Finish()
	})
}

// A gap consists of the messages that all instances lack.
func TestGapIsCommon(t *testing.T) {
	withCommonGap(t, func(s *cluster.System, file *cluster.BookmarkFile, sub *cluster.App, common client.Gap) {
		_, err := resumeAt(s, file, sub, []string{"a", "b"}, discard)
		if gap := wantGap(t, err, common); len(gap.NotAsked) > 0 {
			t.Errorf("%v were not asked", gap.NotAsked)
		}
	})
}

// A subscription that accepts gaps is told only the messages that all instances lack, and
// gets the others.
func TestAcceptedGapIsCommon(t *testing.T) {
	withCommonGap(t, func(s *cluster.System, file *cluster.BookmarkFile, sub *cluster.App, common client.Gap) {
		var told []client.Gap
		r, err := resumeAt(s, file, sub, []string{"a", "b"}, discard, client.OnGap(func(e *client.GapError) { told = append(told, e.Gaps...) }))
		if err != nil {
			t.Fatal(err)
		}
		wantExactly(t, trimBodies(r.AwaitN(402-int(common.To))), cluster.Bodies("pub", int(common.To)+1, 402))
		if !slices.Equal(told, []client.Gap{common}) {
			t.Errorf("told %v, want %v", told, common)
		}
	})
}

func wantGap(t *testing.T, err error, want ...client.Gap) *client.GapError {
	t.Helper()
	var gap *client.GapError
	if !errors.As(err, &gap) || !slices.Equal(gap.Gaps, want) {
		t.Fatalf("ended with %v, want a gap of %v", err, want)
	}
	return gap
}

// The peer that may have the missing messages is away. The client waits for it, and names
// it if it stays away.
func TestGapWaitsForThePeer(t *testing.T) {
	for _, returns := range []bool{true, false} {
		withRetentionOnA(t, func(s *cluster.System) {
			pub, file := s.App("pub", []string{"a", "b"}, nil), s.BookmarkFile()
			sub := startWithPlace(s, file, pub)
			publishLong(s, pub, "orders", 11, 300)
			pub.FlushSafe()
			s.Advance(3 * time.Minute)
			missing := client.Gap{Publisher: publisherID(pub), From: 11, To: floor(s, "a", "orders", pub)}
			if missing.To < 100 {
				t.Fatal("a has removed nothing: the test proves nothing")
			}
			s.Node("b").Kill()
			sub.Restart()
			start := time.Now()
			if returns {
				go func() {
					time.Sleep(30 * time.Second)
					s.Node("b").Start()
				}()
			}
			r, err := resumeAt(s, file, sub, []string{"a", "b"}, discard)
			took := time.Since(start)
			if returns {
				if err != nil || took < 30*time.Second {
					t.Fatalf("after %v: %v", took, err)
				}
				wantExactly(t, trimBodies(r.AwaitN(290)), cluster.Bodies("pub", 11, 300))
				wantNoGap(t, sub, r)
				return
			}
			if gap := wantGap(t, err, missing); !slices.Equal(gap.NotAsked, []string{"b"}) {
				t.Errorf("not asked: %v", gap.NotAsked)
			}
			if took < 60*time.Second || took > 70*time.Second {
				t.Errorf("told after %v", took)
			}
		})
	}
}

// The process is killed again and again while it gets from the peer the messages that its
// server has removed, and discards in any order. Discarded messages do not come again,
// all others do; discarded messages are no gap either (R9).
func TestKillsWhileAGapIsFilled(t *testing.T) {
	withRetentionOnA(t, func(s *cluster.System) {
		pub, file := s.App("pub", []string{"a", "b"}, nil), s.BookmarkFile()
		sub := startWithPlace(s, file, pub)
		sub.Configure(func(c *client.Config) { c.QueueMessages = 8 })
		publishLong(s, pub, "orders", 11, 300)
		pub.FlushSafe()
		s.Advance(3 * time.Minute)
		if floor(s, "a", "orders", pub) < 150 {
			t.Fatal("a has removed nothing: the test proves nothing")
		}
		sub.Restart()
		handled := make(map[string]int)
		for life := 1; len(handled) < 289; life++ {
			n, want := 0, min(7*life, 289-len(handled))
			r, err := resumeAt(s, file, sub, []string{"a", "b"}, func(m *client.Message) error {
				body := trimBodies([]string{string(m.Body)})[0]
				if n++; n > 7*life || body == "pub-20" {
					return nil // later, in another life
				}
				handled[body]++
				return m.Discard()
			})
			if err != nil {
				t.Fatal(err)
			}
			r.AwaitN(want)
			r.Stop()
		}
		for body, times := range handled {
			if times != 1 {
				t.Errorf("%s was discarded %d times", body, times)
			}
		}
		wantNoGap(t, sub)
		// Now all but 20 is discarded: with the peer away that is the gap.
		s.Node("b").Kill()
		_, err := resumeAt(s, file, sub, []string{"a", "b"}, discard)
		wantGap(t, err, client.Gap{Publisher: publisherID(pub), From: 20, To: 20})
		s.Node("b").Start()
		s.AwaitSync()
		r, err := resumeAt(s, file, sub, []string{"a", "b"}, discard)
		if err != nil {
			t.Fatal(err)
		}
		wantExactly(t, trimBodies(r.AwaitN(1)), cluster.Bodies("pub", 20, 20))
	})
}

// A subscription that ends, or its client, ends a search with it.
func TestSearchEnds(t *testing.T) {
	withRetentionOnA(t, func(s *cluster.System) {
		pub, file := s.App("pub", []string{"a", "b"}, nil), s.BookmarkFile()
		sub := startWithPlace(s, file, pub)
		publishLong(s, pub, "orders", 11, 300)
		pub.FlushSafe()
		s.Advance(3 * time.Minute)
		s.Node("b").Kill()
		sub.Configure(func(c *client.Config) { c.Servers = s.Servers("a", "b") })
		sub.Restart()
		sub.AwaitServer("a")
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if _, err := sub.Client.Subscribe(ctx, "orders", client.From(client.MostRecent), client.ID("orders")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended with %v", err)
		}
		failed := make(chan error)
		go func() {
			_, err := sub.Client.Subscribe(context.Background(), "orders", client.From(client.MostRecent), client.ID("orders"))
			failed <- err
		}()
		s.Advance(5 * time.Second)
		start := time.Now()
		sub.Client.Close()
		if err := <-failed; !errors.Is(err, client.ErrClosed) || time.Since(start) > 6*time.Second {
			t.Errorf("ended with %v after %v", err, time.Since(start))
		}
		s.Node("b").Start()
		s.AwaitSync()
	})
}

// wantNoGap fails if the application was told of a gap, or a reader of an error.
func wantNoGap(t *testing.T, sub *cluster.App, readers ...*cluster.Reader) {
	t.Helper()
	if slices.Contains(sub.Events(), "subscription gap orders") {
		t.Error("the application was told of a gap")
	}
	for _, r := range readers {
		if err := r.Err(); err != nil {
			t.Error(err)
		}
	}
}

// All messages of a publisher were removed, and a subscription has received none of them.
// They are a gap only if one of them was on the subscription's topics (R9). The reported
// gap ends with the last of these.
func TestGapIsOfTheTopic(t *testing.T) {
	for _, restart := range []bool{false, true} {
		cluster.Run(t, retain(time.Minute), func(s *cluster.System) {
			pub, other, mixed, file := s.App("pub", []string{"a"}, nil), s.App("other", []string{"a"}, nil), s.App("mixed", []string{"b"}, nil), s.BookmarkFile()
			sub := startWithPlace(s, file, pub)
			publishLong(s, other, "ticks", 1, 300)
			pub.FlushSafe()
			other.FlushSafe()
			s.Advance(3 * time.Minute)
			publishLong(s, pub, "orders", 11, 20)
			if floor(s, "a", "ticks", other) < 200 || floor(s, "b", "ticks", other) < 200 {
				t.Fatal("they have removed nothing: the test proves nothing")
			}
			if restart {
				for _, name := range []string{"a", "b"} {
					s.Node(name).Restart()
					s.AwaitSync()
				}
			}
			sub.Restart()
			r, err := resumeAt(s, file, sub, []string{"a", "b"}, discard)
			if err != nil {
				t.Fatal(err)
			}
			wantExactly(t, trimBodies(r.AwaitN(10)), cluster.Bodies("pub", 11, 20))
			wantNoGap(t, sub, r)
			r.Stop()
			file.Sync()
			file.Kill(sub)

			publishLong(s, mixed, "orders", 1, 7)
			publishLong(s, mixed, "ticks", 8, 200)
			mixed.FlushSafe()
			s.Advance(3 * time.Minute)
			publishLong(s, pub, "orders", 21, 22)
			if floor(s, "a", "ticks", mixed) < 100 || floor(s, "b", "ticks", mixed) < 100 {
				t.Fatal("they have removed nothing: the test proves nothing")
			}
			sub.Restart()
			_, err = resumeAt(s, file, sub, []string{"a", "b"}, discard)
			wantGap(t, err, client.Gap{Publisher: publisherID(mixed), From: 1, To: 7})
		})
	}
}

// An instance that has lost its disk knows no more than that messages are gone. Its
// peer, which has removed them, knows that they were on another topic: that is no gap.
func TestGapOfUnknownTopics(t *testing.T) {
	cluster.Run(t, retain(time.Minute), func(s *cluster.System) {
		pub, other, file := s.App("pub", []string{"a"}, nil), s.App("other", []string{"a"}, nil), s.BookmarkFile()
		sub := startWithPlace(s, file, pub)
		publishLong(s, pub, "ticks", 11, 100)
		pub.FlushSafe()
		publishLong(s, other, "ticks", 1, 200)
		s.Advance(110 * time.Second)
		publishLong(s, other, "orders", 201, 202)
		other.FlushSafe()
		if n := floor(s, "a", "ticks", pub); n != 100 {
			t.Fatalf("a has removed %d: the test proves nothing", n)
		}
		s.Node("b").Kill()
		s.Node("b").Wipe()
		s.Node("b").Start()
		s.AwaitSync()
		if n := floor(s, "b", "orders", pub); n != 100 {
			t.Fatalf("b knows that what is removed of orders ends at %d: the test proves nothing", n)
		}
		sub.Restart()
		r, err := resumeAt(s, file, sub, []string{"b", "a"}, discard)
		if err != nil {
			t.Fatal(err)
		}
		wantExactly(t, trimBodies(r.AwaitN(2)), cluster.Bodies("other", 201, 202))
		wantNoGap(t, sub, r)
	})
}
