package cluster_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
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
		s.Advance(time.Millisecond)
	}
	return bodies
}

// Case 9. The publisher's process is killed in the middle of a write to its store, so
// that a record is torn, started again, and killed once more later. Messages for which
// Publish had returned are delivered, once and in order. The torn message was never sent,
// so its number can be used again (G1, R8).
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

// Case 9, with a power cut: the store is opened with sync-always, and its disk keeps any
// part of the last writes.
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
	wantAccepted(s, want)
}

// wantTaken ends the scenario and checks that both journals hold all messages for which
// Publish has returned, once and in order. A message whose Publish failed with the disk
// may be there too, in its place.
func wantAccepted(s *cluster.System, want []string) {
	s.TB.Helper()
	s.Finish()
	s.CheckSame("a", "b")
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

// Case 28. Both machines lose power, and the disks keep a later unsynced sector and lose
// an earlier one. Both come up, no acknowledged message is missing, and they agree again
// (R7, R8, G2).
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
			s.Advance(time.Duration(mode.Seed*37%300) * time.Microsecond)
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
