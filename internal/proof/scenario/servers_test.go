package scenario_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/testkit/newer"
	"github.com/holdfast-mq/holdfast/server"
)

// servers adds and starts two instances that replicate synchronously, and with
// third=NAME one more that they both feed asynchronously.
func (w *world) servers(c *command) string {
	w.TB.Helper()
	a, b, third := c.name(0), c.name(1), c.option("third", "")
	set, rename := w.settings(c), renamed(a, b, c.list("as"))
	configure := func(sc *server.Config) {
		set(sc)
		rename(sc)
		if c.has("users") {
			w.users(sc)
		}
		if third != "" {
			sc.Replication.Destinations = append(sc.Replication.Destinations,
				server.Destination{Name: third, Address: third + ":9107", Ack: "async"})
		}
	}
	w.instances = append(w.instances, a, b)
	if third != "" {
		w.Add(third, func(sc *server.Config) { sc.Replication.Peers = []string{a, b} }).Start()
		w.instances = append(w.instances, third)
	}
	na, nb := w.Add(a, configure, b), w.Add(b, configure, a)
	w.listen(na)
	w.listen(nb)
	na.Start()
	nb.Start()
	w.AwaitSync()
	return ""
}

// clock sets the wall clock of an instance ahead of the others', or back.
func (w *world) clock(c *command) string {
	w.TB.Helper()
	w.clocks[c.name(0)].Store(int64(c.parseDuration(c.name(1))))
	return ""
}

// wallClock returns the wall clock of an instance, which stands as clock has set it.
func (w *world) wallClock(name string) func() time.Time {
	ahead := w.clocks[name]
	if ahead == nil {
		ahead = new(atomic.Int64)
		w.clocks[name] = ahead
	}
	return func() time.Time { return time.Now().Round(0).Add(time.Duration(ahead.Load())) }
}

// configure changes the configuration of a dead instance.
func (w *world) configure(c *command) string {
	w.TB.Helper()
	w.settings(c)(&w.Node(c.name(0)).Config)
	return ""
}

// settings returns the configuration that the options describe.
func (w *world) settings(c *command) func(*server.Config) {
	w.TB.Helper()
	downgrade, rejoin, retain := c.duration("downgrade-after", "0s"), c.duration("rejoin-timeout", "0s"), c.duration("retain", "0s")
	segment, hold, largest := c.bytes("segment"), c.bytes("hold"), c.bytes("max-message")
	logged, carried := c.list("log"), c.list("carry")
	unnamed, named := c.option("forgets", ""), c.option("knows", "")
	return func(sc *server.Config) {
		sc.Now = w.wallClock(sc.Name)
		rename(sc.Replication, unnamed, named)
		for i := range sc.Replication.Destinations {
			sc.Replication.Destinations[i].DowngradeAfter = server.Duration(downgrade)
			sc.Replication.Destinations[i].Topics = carried
		}
		if rejoin > 0 {
			sc.RejoinTimeout = server.Duration(rejoin)
		}
		if segment > 0 {
			sc.Log.Segment = server.Size(segment)
		}
		sc.Log.Retain, sc.Log.Topics = server.Duration(retain), logged
		sc.Hold, sc.MaxMessage = server.Size(hold), server.Size(largest)
	}
}

// rename takes one name out of the destinations, so that only its links come here,
// and puts one back into them.
func rename(r *server.Replication, unnamed, named string) {
	if unnamed != "" {
		r.Destinations = slices.DeleteFunc(r.Destinations, func(d server.Destination) bool { return d.Name == unnamed })
		r.Peers = append(r.Peers, unnamed)
	}
	if named != "" {
		r.Peers = slices.DeleteFunc(r.Peers, func(p string) bool { return p == named })
		r.Destinations = append(r.Destinations, server.Destination{Name: named, Address: named + ":9107", Ack: "sync"})
	}
}

// kill ends instances or applications as kill -9 does.
func (w *world) kill(c *command) string {
	w.TB.Helper()
	for _, name := range c.names {
		if a := w.apps[name]; a != nil {
			a.crash(memfs.KeepAll)
		} else {
			w.Node(name).Kill()
		}
	}
	return ""
}

// shutdown stops an instance in order.
func (w *world) shutdown(c *command) string {
	w.TB.Helper()
	for _, name := range c.names {
		w.Node(name).Shutdown()
	}
	return ""
}

// powercut ends machines. Their disks keep nothing of the unsynced changes, or some of
// it: torn, hole, garbage, zeros.
func (w *world) powercut(c *command) string {
	w.TB.Helper()
	seed := uint64(c.number("seed"))
	mode, known := map[string]memfs.Mode{
		"nothing": memfs.Durable, "torn": memfs.Torn(seed), "hole": memfs.Hole(seed),
		"garbage": memfs.Garbage(seed), "zeros": memfs.ZeroExtended(seed),
	}[c.option("keeps", "nothing")]
	if !known {
		c.fail("a disk keeps nothing, torn, hole, garbage or zeros")
	}
	for _, name := range c.names {
		if a := w.apps[name]; a != nil {
			a.crash(mode)
		} else {
			w.Node(name).Crash(mode)
		}
	}
	return ""
}

// wipe gives a dead instance an empty disk.
func (w *world) wipe(c *command) string {
	w.TB.Helper()
	for _, name := range c.names {
		w.Node(name).Wipe()
	}
	return ""
}

// start starts dead instances or applications. An instance may find that a
// newer holdfastd was there.
func (w *world) start(c *command) string {
	w.TB.Helper()
	var refused strings.Builder
	for _, name := range c.names {
		if a := w.apps[name]; a != nil {
			a.restart()
			continue
		}
		err := w.Node(name).TryStart()
		if newer, ok := errors.AsType[*server.VersionError](err); ok {
			fmt.Fprintf(&refused, "%s: %v\n", name, newer)
		} else if err != nil {
			c.fail("start %s: %v", name, err)
		}
	}
	return refused.String()
}

// lost has an operator order an instance to declare messages lost, where others will
// not return.
func (w *world) lost(c *command) string {
	w.TB.Helper()
	do, args := server.ControlDeclareLost, c.names[1:]
	if c.option("end", "") != "" {
		do = server.ControlEndDecree
	}
	n := w.Node(c.name(0))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := server.SendControl(ctx, testdoor.OnDisk(n.Config, n.FS), do, args...); err != nil {
		return err.Error() + "\n"
	}
	return n.Name + ": done\n"
}

// newer has dead instances' journals be those of a newer holdfastd.
func (w *world) newer(c *command) string { return w.rewrite(c, newer.Segment) }

// known undoes newer.
func (w *world) known(c *command) string { return w.rewrite(c, newer.SegmentUndo) }

// rewrite changes the segments of dead instances.
func (w *world) rewrite(c *command, change func([]byte) []byte) string {
	w.TB.Helper()
	for _, name := range c.names {
		disk := w.Node(name).FS
		for _, file := range disk.Names() {
			if !strings.HasSuffix(file, ".log") {
				continue
			}
			b, err := disk.ReadFile(file)
			if err != nil {
				c.fail("%v", err)
			}
			disk.WriteFile(file, change(b))
		}
	}
	return ""
}

// pause stops an instance as SIGSTOP does.
func (w *world) pause(c *command) string {
	w.TB.Helper()
	w.Node(c.name(0)).Pause()
	w.paused[c.name(0)] = true
	return ""
}

func (w *world) resume(c *command) string {
	w.TB.Helper()
	w.Node(c.name(0)).Resume()
	delete(w.paused, c.name(0))
	return ""
}

// partition cuts the first host off from the others named.
func (w *world) partition(c *command) string {
	w.TB.Helper()
	for _, other := range c.names[1:] {
		w.Cut(c.name(0), other)
	}
	return ""
}

// cut cuts one way: cut A to B.
func (w *world) cut(c *command) string {
	w.TB.Helper()
	w.Net.CutOneWay(c.name(0), c.name(2))
	return ""
}

// heal ends the faults of partition, cut and reset-every.
func (w *world) heal(c *command) string {
	w.TB.Helper()
	for _, other := range c.names[1:] {
		w.Heal(c.name(0), other)
	}
	return ""
}

// reset ends the connections between two hosts.
func (w *world) reset(c *command) string {
	w.TB.Helper()
	w.Net.Reset(c.name(0), c.name(1))
	return ""
}

// resetEvery ends them whenever so many bytes have come from the first at the second.
func (w *world) resetEvery(c *command) string {
	w.TB.Helper()
	w.Net.ResetEvery(c.name(0), c.name(1), int64(c.bytes("bytes")))
	return ""
}

// move takes an application's connection to the first instance away and waits
// until it is live on the second: move pub A B.
func (w *world) move(c *command) string {
	w.TB.Helper()
	a, from, to := w.app(c.name(0)), c.name(1), c.name(2)
	w.Heal(a.Name, to)
	w.Cut(a.Name, from)
	w.Net.Reset(a.Name, from)
	a.AwaitServer(to)
	return ""
}

// slowDisk lets each fsync of an instance take a time from now on.
func (w *world) slowDisk(c *command) string {
	w.TB.Helper()
	w.Node(c.name(0)).FS.SetSyncDelay(c.parseDuration(c.name(1)))
	return ""
}

// failDisk has a disk fail at the next chance: full, write, half (a write) or sync.
func (w *world) failDisk(c *command) string {
	w.TB.Helper()
	if r := w.readers[c.name(0)]; r != nil {
		r.app.bookmarks.FailCommits()
		return ""
	}
	disk := w.disk(c.name(0))
	switch how := c.name(1); how {
	case "full":
		disk.FailFrom(1, syscall.ENOSPC)
	case "write":
		disk.FailNth(1, syscall.EIO)
	case "half":
		disk.ShortWriteNth(1, syscall.EIO)
	case "sync":
		disk.FailSync(syscall.EIO)
	default:
		c.fail("a disk does not fail by %q", how)
	}
	return ""
}

// dieAt lets a machine die before the nth change of its disk from now: die-at A 1.
func (w *world) dieAt(c *command) string {
	w.TB.Helper()
	n, _ := c.span(1)
	w.disk(c.name(0)).CrashAt(n)
	return ""
}

func (w *world) disk(name string) *memfs.FS {
	w.TB.Helper()
	if a := w.apps[name]; a != nil {
		return a.FS
	}
	return w.Node(name).FS
}

// damage flips a bit of a record in a dead instance's journal: damage A pub-17.
func (w *world) damage(c *command) string {
	w.TB.Helper()
	n := w.Node(c.name(0))
	for _, name := range n.FS.Names() {
		b, err := n.FS.ReadFile(name)
		if err != nil {
			c.fail("%v", err)
		}
		if at := bytes.Index(b, []byte(c.name(1)+" ")); at >= 0 {
			n.FS.Flip(name, int64(at))
			return ""
		}
	}
	c.fail("it is not on the disk")
	return ""
}

// stopped reports whether an instance has stopped by itself.
func stopped(n *cluster.Node) bool {
	select {
	case <-n.Server.Done():
		return true
	default:
		return false
	}
}
