package cluster_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/server"
)

// downgradeAfter configures instances that leave a peer out after d.
func downgradeAfter(d time.Duration) func(*server.Config) {
	return func(c *server.Config) {
		for i := range c.Replication.Destinations {
			c.Replication.Destinations[i].DowngradeAfter = server.Duration(d)
		}
	}
}

// move takes an application's connection to one instance away, and waits until
// it is live on the other, which it can reach.
func move(s *cluster.System, app *cluster.App, from, to string) {
	s.TB.Helper()
	s.Heal(app.Name, to)
	s.Cut(app.Name, from)
	s.Net.Reset(app.Name, from)
	app.AwaitServer(to)
}

// wantJournals ends the scenario and checks that both journals hold exactly
// the bodies wanted, each once and in that order.
func wantJournals(s *cluster.System, want []string) {
	s.TB.Helper()
	s.Finish()
	s.CheckSame("a", "b")
	for _, name := range []string{"a", "b"} {
		wantBodies(s, "the journal of "+name, s.Node(name).Bodies(), want)
	}
}

func wantBodies(s *cluster.System, owner string, got, want []string) {
	s.TB.Helper()
	if !slices.Equal(got, want) {
		s.TB.Errorf("%s has %d messages, want %d:\n%s\nwant\n%s", owner, len(got), len(want), strings.Join(got, " "), strings.Join(want, " "))
	}
}

// wantNoEvent fails if a hook of the application was told something that contains text.
func wantNoEvent(s *cluster.System, app *cluster.App, text string) {
	s.TB.Helper()
	for _, e := range app.Events() {
		if strings.Contains(e, text) {
			s.TB.Errorf("%s was told %q", app.Name, e)
		}
	}
}

// acked returns how far the application's current life was let go of as safe.
func acked(app *cluster.App) int {
	lives := app.Store.Lives()
	return int(lives[len(lives)-1].Acked)
}

// durableBodies returns the bodies on a dead instance's disk after a power cut.
func durableBodies(n *cluster.Node) []string {
	image := *n
	image.FS = n.FS.Crash(memfs.Durable)
	n.FS = n.FS.Crash(memfs.KeepAll)
	return image.Bodies()
}

// A step is a moment in a message's way from the publisher to the ack.
type step struct {
	name    string
	arm     func(s *cluster.System)      // has it come at a later time
	reached func(s *cluster.System) bool // whether it has
}

// diskStep is before the nth change of a's disk.
func diskStep(n int) step {
	return step{
		name:    fmt.Sprintf("disk/%d", n),
		arm:     func(s *cluster.System) { s.Node("a").FS.CrashAt(n) },
		reached: func(s *cluster.System) bool { return s.Node("a").FS.Crashed() },
	}
}

// wireStep is when so many more bytes have come from one host at another, and
// nothing comes any more on either way.
func wireStep(from, to string, bytes int64) step {
	var at int64
	return step{
		name: fmt.Sprintf("%s-%s/%d", from, to, bytes),
		arm: func(s *cluster.System) {
			at = s.Net.Delivered(from, to) + bytes
			s.Net.CutAfter(from, to, bytes)
		},
		reached: func(s *cluster.System) bool { return s.Net.Delivered(from, to) >= at },
	}
}

// killSteps are some of all steps, evenly spread: from publish to ack they cut
// within and between all frames of a dozen messages.
func killSteps() []step {
	var steps []step
	for n := 1; n <= 21; n++ {
		steps = append(steps, diskStep(n))
	}
	for _, w := range []struct {
		from, to     string
		most, stride int64
	}{
		{"pub", "a", 600, 31}, // the message
		{"a", "b", 800, 43},   // its copy
		{"b", "a", 100, 7},    // the link's ack
		{"a", "pub", 300, 19}, // the ack
	} {
		for n := int64(1); n <= w.most; n += w.stride {
			steps = append(steps, wireStep(w.from, w.to, n))
		}
	}
	return steps
}

// Case 1. The publisher's instance dies at every step of a message's way: before and
// after its own disk has it, after the peer has it, before and after the ack; alone or
// together with its peer, by a kill or a power cut. Messages that the publish store has
// let go of are on the disks, and every message arrives once (G1, G2, G3, G4, R1, R4).
func TestCase01KillAtEveryStep(t *testing.T) {
	modes := []memfs.Mode{memfs.KeepAll, memfs.Durable, memfs.Torn(1), memfs.Hole(2)}
	for i, step := range killSteps() {
		both, mode := i%2 == 0, modes[i/2%len(modes)]
		t.Run(fmt.Sprintf("%s/%s/both=%v", step.name, mode.Name, both), func(t *testing.T) {
			cluster.Run(t, nil, func(s *cluster.System) { killAtStep(s, step, mode, both) })
		})
	}
}

func killAtStep(s *cluster.System, step step, mode memfs.Mode, both bool) {
	a, b := s.Node("a"), s.Node("b")
	b.FS.SetSyncDelay(900 * time.Microsecond) // a has it on disk earlier than b
	pub := s.App("pub", []string{"a", "b"}, nil)
	sub := s.App("sub", []string{"a", "b"}, nil)
	r := sub.Read("orders", true, client.From(client.Epoch))
	pub.AwaitServer("a")
	pub.PublishN("orders", 1, 3)
	pub.FlushSafe()

	step.arm(s)
	sent := 3
	for ; sent < 15 && !step.reached(s); sent++ {
		pub.PublishN("orders", sent+1, sent+1)
		s.Advance(400 * time.Microsecond)
	}
	for end := time.Now().Add(2 * time.Millisecond); !step.reached(s) && time.Now().Before(end); {
		s.Advance(50 * time.Microsecond)
	}
	if !step.reached(s) {
		s.TB.Errorf("%s does not come", step.name)
	}
	a.Crash(mode)
	if both {
		b.Crash(mode)
		wantOnDisk(s, pub)
	}
	s.Heal("pub", "a")
	s.Heal("a", "b")

	pub.PublishN("orders", sent+1, sent+5)
	if both {
		b.Start()
	} else {
		pub.AwaitServer("b")
	}
	a.Start()
	s.AwaitSync()
	pub.FlushSafe()
	want := cluster.Bodies("pub", 1, sent+5)
	wantBodies(s, "the subscriber", r.AwaitN(len(want)), want)
	wantJournals(s, want)
}

// wantOnDisk checks, with both instances dead, that the messages that the publish store
// has let go of are on both disks (G2).
func wantOnDisk(s *cluster.System, pub *cluster.App) {
	s.TB.Helper()
	want := cluster.Bodies(pub.Name, 1, acked(pub))
	for _, name := range []string{"a", "b"} {
		got := durableBodies(s.Node(name))
		wantBodies(s, "of what was let go, the disk of "+name, got[:min(len(got), len(want))], want)
	}
}
