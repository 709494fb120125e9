package replica

import (
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A peer replicates here synchronously and gets nothing back. This instance reports that to its
// clients, also after a restart while the peer is away. The peer is in sync nevertheless, since its
// messages are on two disks. Both show it and log the reason (R5).
func TestOneWayLink(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a", to("b")), w.instance("b", func(o *Options) { o.Destinations, o.Peers = []Destination{to("c")}, []string{"a"} })
		b.start()
		w.linked(a, b)
		a.publish(1, 1, 3)
		w.same(a, b)
		w.eventually("safe", func() bool { return a.l.Safe(1) == 3 })
		if status := a.l.SyncStatus(); status != syncstatus.InSync {
			t.Errorf("a reports %v", status)
		}
		if status := b.l.SyncStatus(); status != syncstatus.OneWay {
			t.Errorf("b reports %v", status)
		}
		if !a.status("b").OneWay || !b.status("a").OneWay {
			t.Errorf("status %+v, %+v", a.status("b"), b.status("a"))
		}
		if !a.logged("the peer does not replicate back", "peer=b") || !b.logged("this instance does not replicate back", "peer=a") {
			t.Error("not logged")
		}
		a.close()
		b.kill(memfs.KeepAll)
		b.start()
		if status := b.l.SyncStatus(); status != syncstatus.OneWay || !b.status("a").OneWay {
			t.Errorf("b reports %v after a restart, status %+v", status, b.status("a"))
		}
	})
}

// A link that is one way by design is no fault: an asynchronous destination need not replicate
// back. A link that becomes two-way counts as such at once.
func TestNoOneWayLink(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, c := w.start("a", to("b"), toAsync("c")), w.start("c")
		b := w.start("b")
		w.linked(a, c)
		w.linked(a, b)
		if c.l.SyncStatus() != syncstatus.Async || c.status("a").OneWay || a.status("c").OneWay {
			t.Errorf("c reports %v, status %+v, %+v", c.l.SyncStatus(), c.status("a"), a.status("c"))
		}
		if b.l.SyncStatus() != syncstatus.OneWay || !a.status("b").OneWay {
			t.Errorf("b reports %v, status %+v", b.l.SyncStatus(), a.status("b"))
		}
		b.restart(to("a"))
		w.linked(a, b)
		if b.l.SyncStatus() != syncstatus.InSync || b.status("a").OneWay || a.status("b").OneWay {
			t.Errorf("b reports %v, status %+v, %+v", b.l.SyncStatus(), a.status("b"), b.status("a"))
		}
		a.kill(memfs.KeepAll)
		pass(time.Second)
		if b.status("a").OneWay {
			t.Error("one way because the peer is away")
		}
	})
}
