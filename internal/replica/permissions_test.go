package replica

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// withPermissions adds an instance whose permissions have the hash that the result holds.
func (w *world) withPermissions(name string, dests ...Destination) (*instance, *atomic.Uint32) {
	version := new(atomic.Uint32)
	version.Store(7)
	i := w.instance(name, func(o *Options) {
		configured(name, dests...)(o)
		o.Permissions = func() (uint64, [32]byte) {
			v := version.Load()
			return uint64(v), [32]byte{31: byte(v)}
		}
	})
	i.start()
	return i, version
}

func (i *instance) expectPermissions(agree bool, differ ...string) {
	i.w.t.Helper()
	if got, peers := i.l.MayReject(1, 1), i.l.PermissionsDiffer(); got != agree || !slices.Equal(peers, differ) {
		i.w.t.Errorf("%s: agree %v, differ %q; want %v, %q", i.name, got, peers, agree, differ)
	}
}

// Both sides of a link learn of a change within a heartbeat. Until both have it they do not agree, and
// after a minute each names the other.
func TestPermissionsDiffer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, versionA := w.withPermissions("a", to("b"))
		a.expectPermissions(false) // it has not met b
		b, versionB := w.withPermissions("b", to("a"))
		w.linked(a, b)
		a.expectPermissions(true)
		b.expectPermissions(true)
		versionA.Store(8)
		a.expectPermissions(false)
		pass(time.Second)
		b.expectPermissions(false)
		pass(50 * time.Second)
		w.Cut("a", "b") // a short outage neither hides the difference nor begins the minute again
		w.eventually("the link is lost", a.state("b", "down"))
		a.expectPermissions(false)
		w.Heal("a", "b")
		w.linked(a, b)
		pass(15 * time.Second)
		a.expectPermissions(false, "b")
		b.expectPermissions(false, "a")
		versionB.Store(8)
		b.expectPermissions(true)
		pass(time.Second)
		a.expectPermissions(true)
		versionB.Store(9)
		pass(time.Second)
		a.expectPermissions(false) // a new difference has its own minute
		pass(time.Minute)
		a.expectPermissions(false, "b")
	})
}

// A peer that is away does not agree for a minute, whatever it stated last and even if this process has
// not met it, so that a message which it may have accepted gets no tombstone here at once. Then it does
// not count, so that a denied publisher does not wait for it.
func TestPermissionsOfAbsentPeer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, versionA := w.withPermissions("a", to("b"))
		pass(50 * time.Second)
		a.expectPermissions(false)
		pass(15 * time.Second)
		a.expectPermissions(true)
		b, versionB := w.withPermissions("b", to("a"))
		w.linked(a, b)
		a.expectPermissions(true)
		b.close()
		pass(50 * time.Second)
		a.expectPermissions(false)
		pass(15 * time.Second)
		a.expectPermissions(true)
		versionB.Store(8)
		b.start()
		w.linked(a, b)
		a.expectPermissions(false) // at once, by the hello
		versionA.Store(8)
		a.expectPermissions(true)
	})
}

// A message that a peer has stated to have is not rejected here: it is on its way, and the peer may have
// taken it by earlier permissions. The next one is rejected.
func TestStatedMessageIsNotRejected(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		b, _ := w.withPermissions("b", to("a"))
		b.publish(3, 1, 5)
		a, _ := w.withPermissions("a", to("b")) // after the publishes, so that b's hello states them
		w.linked(a, b)
		for sequence := uint64(1); sequence <= 6; sequence++ {
			if got, want := a.l.MayReject(3, sequence), sequence > 5; got != want {
				t.Errorf("may reject %d: %v, want %v", sequence, got, want)
			}
		}
	})
}

// A peer counts that replicates to this instance, although this instance does not replicate to it.
func TestPermissionsOneWay(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, versionA := w.withPermissions("a", to("b"))
		b := w.instance("b", func(o *Options) {
			o.Peers = []string{"a"}
			o.Permissions = func() (uint64, [32]byte) { return 7, [32]byte{31: 7} }
		})
		b.start()
		w.linked(a, b)
		b.expectPermissions(true)
		versionA.Store(8)
		pass(time.Second)
		b.expectPermissions(false)
		a.close()
		pass(50 * time.Second)
		b.expectPermissions(false)
		pass(15 * time.Second)
		b.expectPermissions(true)
	})
}

// An instance without users differs from one with users. An asynchronous destination does not count,
// but its difference is reported.
func TestPermissionsNotCompared(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		toC := to("c")
		toC.Sync = false
		a, versionA := w.withPermissions("a", to("b"), toC)
		b := w.start("b", to("a"))
		c, _ := w.withPermissions("c")
		w.linked(a, b)
		w.linked(a, c)
		a.expectPermissions(false)
		versionA.Store(8)
		pass(time.Minute + time.Second)
		a.expectPermissions(false, "b", "c")
		b.close()
		pass(time.Minute + time.Second)
		a.expectPermissions(true, "c")
	})
}
