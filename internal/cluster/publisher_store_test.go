package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/cluster"
	"github.com/holdfast-mq/holdfast/internal/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// publish publishes NAME-from to NAME-to as long as that works, and returns
// the bodies that were taken.
func publish(s *cluster.System, app *cluster.App, from, to int) []string {
	ctx, cancel := s.Context()
	defer cancel()
	bodies := cluster.Bodies(app.Name, from, to)
	for i, body := range bodies {
		if _, err := app.Client.Publish(ctx, "orders", []byte(body)); err != nil {
			return bodies[:i]
		}
		s.Pass(time.Millisecond)
	}
	return bodies
}

// Case 9. The publisher's process is killed in the middle of a write to its
// store, so that a record is torn, started again, and killed once more later.
// What Publish had returned is delivered, once and in order; the message that
// was torn was never sent, so that its number can be used again (G1, R8).
func TestCase09TornRecordInTheStore(t *testing.T) {
	for _, connected := range []bool{true, false} {
		for n := 1; n <= 10; n++ {
			t.Run(fmt.Sprintf("connected=%v/%d", connected, n), func(t *testing.T) {
				cluster.Run(t, nil, func(s *cluster.System) {
					tear := func(pub *cluster.App) { pub.FS.ShortWriteNth(n, syscall.EIO) }
					tornStore(s, connected, tear, memfs.KeepAll)
				})
			})
		}
	}
}

// Case 9, with the power: the store is opened with sync-always, and its disk
// keeps of the last writes what it likes.
func TestCase09PowerCutOfTheStore(t *testing.T) {
	for seed := uint64(1); seed <= 6; seed++ {
		for i, mode := range memfs.Modes(seed)[1:] {
			n := int(seed)*3 + i
			t.Run(fmt.Sprintf("%s/%d", mode.Name, seed), func(t *testing.T) {
				cluster.Run(t, nil, func(s *cluster.System) {
					crash := func(pub *cluster.App) { pub.FS.CrashAt(n) }
					tornStore(s, seed%2 == 0, crash, mode)
				})
			})
		}
	}
}

// tornStore publishes until the store's disk fails as fail says, twice.
func tornStore(s *cluster.System, connected bool, fail func(*cluster.App), mode memfs.Mode) {
	pub := s.App("pub", []string{"a", "b"}, nil)
	pub.Kill()
	pub.Options.SyncAlways = mode != memfs.KeepAll
	pub.Restart()
	if !connected {
		s.Cut("pub", "a")
		s.Cut("pub", "b")
		pub.Kill()
		pub.Restart()
	}
	var want []string
	next := 1
	for range 2 {
		fail(pub)
		taken := publish(s, pub, next, next+11)
		if len(taken) == 12 {
			s.TB.Error("the disk of the store did not fail")
		}
		want = append(want, taken...)
		next += 12
		pub.Crash(mode)
		pub.Restart()
	}
	s.Heal("pub", "a")
	s.Heal("pub", "b")
	want = append(want, publish(s, pub, next, next+2)...)
	pub.FlushSafe()
	wantNoEvent(s, pub, "rejected")
	wantNoEvent(s, pub, "rolled back")
	wantTaken(s, want)
}

// wantTaken ends the scenario and checks that both journals hold what Publish
// has returned for, once and in order. A message whose Publish failed with the
// disk may be there too, in its place.
func wantTaken(s *cluster.System, want []string) {
	s.TB.Helper()
	s.Finish()
	s.Same("a", "b")
	for _, name := range []string{"a", "b"} {
		got := s.Node(name).Bodies()
		seen := make(map[string]bool)
		for _, body := range got {
			if seen[body] {
				s.TB.Errorf("%s has %q twice", name, body)
			}
			seen[body] = true
		}
		got = slices.DeleteFunc(got, func(body string) bool { return !slices.Contains(want, body) })
		wantBodies(s, "of what was taken, the journal of "+name, got, want)
	}
}

// Case 10. A publisher with a memory store dies and starts again while the
// instance it comes back to lacks what its former self published to the other.
// It is another publisher then: when the instances meet, both journals hold
// both lives (R10, R11).
func TestCase10MemoryStoreRestarts(t *testing.T) {
	memory := func(c *client.Config) { c.Publishes = pubstore.NewMemory(pubstore.MemoryOptions{}) }
	cluster.Run(t, downgradeAfter(time.Second), func(s *cluster.System) {
		pub := s.App("pub", []string{"a", "b"}, memory)
		pub.AwaitServer("a")
		pub.PublishN("orders", 1, 5)
		pub.FlushSafe()

		pub.Kill() // the instance it comes back to lacks nothing
		pub.Use(memory)
		pub.Restart()
		pub.AwaitServer("a")
		pub.PublishN("orders", 6, 8)
		pub.FlushSafe()

		s.Cut("a", "b")
		pub.PublishN("orders", 9, 12)
		pub.Flush()
		pub.Kill() // b lacks the last four, and its store is gone
		s.Cut("pub", "a")
		s.Cut("pub", "b")
		pub.Use(memory)
		pub.Restart()
		pub.PublishN("orders", 13, 24)
		s.Heal("pub", "b")
		pub.AwaitServer("b")
		pub.Flush()

		s.Heal("a", "b")
		s.AwaitSync()
		pub.FlushSafe()
		for _, event := range []string{"rejected", "rolled back", "gap"} {
			wantNoEvent(s, pub, event)
		}
		s.Finish()
		s.Same("a", "b")
		stored := s.Node("a").Stored()
		if len(stored) != 3 {
			t.Errorf("%d publishers in the journal, want one for each life: %v", len(stored), stored)
		}
		wantLives(s, stored, [][]string{
			cluster.Bodies("pub", 1, 5), cluster.Bodies("pub", 6, 8), cluster.Bodies("pub", 9, 12), cluster.Bodies("pub", 13, 24),
		})
	})
}

// wantLives checks that each list of bodies stands together, in order, among
// the messages of one publisher.
func wantLives(s *cluster.System, stored map[uint64][]string, lists [][]string) {
	s.TB.Helper()
	for _, list := range lists {
		found := false
		for _, messages := range stored {
			var bodies []string
			for _, m := range messages {
				_, body, _ := strings.Cut(m, ":")
				bodies = append(bodies, body)
			}
			for at := range bodies {
				found = found || at+len(list) <= len(bodies) && slices.Equal(bodies[at:at+len(list)], list)
			}
		}
		if !found {
			s.TB.Errorf("not in the journal as they were published: %v", list)
		}
	}
}

// Case 19. The contexts of Flush and Publish end while the ack is on its way,
// or the message, and the instance then dies. Waiting ends; delivery does not:
// every message that the store has taken arrives once, one that it has not
// never does (G1).
func TestCase19ContextEndsDuringAFailover(t *testing.T) {
	for _, cut := range []string{"messages", "acks"} {
		t.Run(cut, func(t *testing.T) {
			cluster.Run(t, nil, func(s *cluster.System) { cancelDuringFailover(s, cut == "acks") })
		})
	}
}

func cancelDuringFailover(s *cluster.System, acksOnly bool) {
	pub := s.App("pub", []string{"a", "b"}, nil)
	pub.Kill()
	pub.Options.MaxMessages = 10
	pub.Restart()
	r := s.App("sub", []string{"b"}, nil).Read("orders", true, client.From(client.Epoch))
	pub.AwaitServer("a")
	pub.PublishN("orders", 1, 3)
	pub.FlushSafe()

	if acksOnly {
		s.Net.CutOneWay("a", "pub")
	} else {
		s.Cut("pub", "a")
	}
	pub.PublishN("orders", 4, 13) // the store is full now
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err := pub.Client.Publish(ctx, "orders", []byte("never taken"))
	if !errors.Is(err, context.DeadlineExceeded) {
		s.TB.Errorf("publish to a full store: %v", err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	var left *client.UnsettledError
	if err := pub.Client.Flush(ctx); !errors.As(err, &left) || left.Messages != 10 || !errors.Is(err, context.DeadlineExceeded) {
		s.TB.Errorf("flush: %v, want 10 messages unsettled", err)
	}

	s.Node("a").Kill()
	pub.AwaitServer("b")
	s.Node("a").Start()
	s.AwaitSync()
	pub.FlushSafe()
	pub.PublishN("orders", 14, 16)
	pub.FlushSafe()
	want := cluster.Bodies("pub", 1, 16)
	wantBodies(s, "the subscriber", r.AwaitN(16), want)
	wantJournals(s, want)
}

// Case 28. Both machines lose power, and of what the disks had not synced they
// keep a later sector and lose an earlier one. Both come up, nothing that was
// acknowledged is missing, and they agree again (R7, R8, G2).
func TestCase28PowerCutsThatLeaveHoles(t *testing.T) {
	for seed := uint64(1); seed <= 24; seed++ {
		mode := []memfs.Mode{memfs.Hole(seed), memfs.Garbage(seed), memfs.ZeroExtended(seed)}[seed%3]
		t.Run(fmt.Sprintf("%s/%d", mode.Name, seed), func(t *testing.T) {
			cluster.Run(t, nil, func(s *cluster.System) { powerCuts(s, mode) })
		})
	}
}

func powerCuts(s *cluster.System, mode memfs.Mode) {
	a, b := s.Node("a"), s.Node("b")
	pub := s.App("pub", []string{"a", "b"}, nil)
	r := s.App("sub", []string{"a", "b"}, nil).Read("orders", true, client.From(client.Epoch))
	next := 1
	for range 3 {
		for range 4 {
			pub.PublishN("orders", next, next+9)
			next += 10
			s.Pass(time.Duration(mode.Seed*37%300) * time.Microsecond)
		}
		a.Crash(mode)
		b.Crash(mode)
		wantOnDisk(s, pub)
		a.Start()
		b.Start()
		s.AwaitSync()
	}
	pub.FlushSafe()
	want := cluster.Bodies("pub", 1, next-1)
	wantBodies(s, "the subscriber", r.AwaitN(len(want)), want)
	wantJournals(s, want)
}

// Case 29. A publisher's machine loses power with messages in its store that
// were not synced but have reached A, and comes back to B, which lacks them.
// Going on with the next number would give it two contents; the store begins a
// new life instead (R10, G3).
func TestCase29PowerCutOfAPublisherWithAnUnsyncedTail(t *testing.T) {
	cluster.Run(t, downgradeAfter(time.Second), func(s *cluster.System) {
		pub := s.App("pub", []string{"a", "b"}, nil)
		r := s.App("sub", []string{"a", "b"}, nil).Read("orders", true, client.From(client.Epoch))
		pub.AwaitServer("a")
		pub.PublishN("orders", 1, 5)
		pub.FlushSafe()
		s.Pass(time.Second)

		s.Cut("a", "b")
		pub.PublishN("orders", 6, 10)
		s.Pass(2 * time.Millisecond) // they are on a's disk, not on the publisher's
		pub.PowerCut()
		s.Cut("pub", "a")
		pub.Restart()
		pub.AwaitServer("b")
		pub.PublishN("orders", 11, 18)
		pub.Flush()

		s.Heal("a", "b")
		s.AwaitSync()
		pub.FlushSafe()
		wantNoEvent(s, pub, "rejected")
		r.AwaitN(18)
		s.Finish()
		s.Same("a", "b")
		stored := s.Node("b").Stored()
		wantLives(s, stored, [][]string{cluster.Bodies("pub", 1, 10), cluster.Bodies("pub", 11, 18)})
		got := r.Got()
		slices.Sort(got)
		if got = slices.Compact(got); len(got) != 18 || len(r.Got()) != 18 {
			t.Errorf("the subscriber received %v", r.Got())
		}
	})
}
