package replica

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// An appended record is sent at once, and acknowledged as soon as both disks have it. Nothing is
// left for a heartbeat to find. No time passes in this test.
func TestNoTimePasses(t *testing.T) {
	for _, buffer := range []int{1, 20, 64 << 10} {
		t.Run(fmt.Sprint("buffer of ", buffer), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.SetBuffer(buffer)
				a, b := w.pair()
				w.linked(a, b)
				safe := func(p, s uint64) {
					t.Helper()
					w.now(fmt.Sprintf("%d|%d is safe on both", p, s), func() bool { return a.l.Safe(p) == s && b.l.Safe(p) == s })
				}
				began := time.Now()
				for s := uint64(1); s <= 20; s++ {
					a.publish(1, s, s)
					safe(1, s)
				}
				for s := uint64(1); s <= 20; s++ { // now from both sides
					a.publish(1, 20+s, 20+s)
					b.publish(2, s, s)
					safe(1, 20+s)
					safe(2, s)
				}
				a.publish(3, 1, 200)
				safe(3, 200)
				var both sync.WaitGroup
				for p := uint64(10); p < 20; p++ {
					both.Go(func() { a.publish(p, 1, 50) })
					both.Go(func() { b.publish(100+p, 1, 50) })
				}
				both.Wait()
				for p := uint64(10); p < 20; p++ {
					safe(p, 50)
					safe(100+p, 50)
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("%v have passed", took)
				}
				w.same(a, b)
			})
		})
	}
}

// An append returns even if the connection does not accept its record.
func TestInlineDoesNotBlock(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		w.Pause("b") // b reads nothing more
		r := message(1, 1, "x")
		r.Body = bytes.Repeat([]byte("x"), 900<<10) // more than the connection accepts
		a.append(r)                                 // must return
		synctest.Wait()
		if s := a.l.Safe(1); s != 0 {
			t.Fatalf("safe up to %d", s)
		}
		w.Resume("b")
		w.now("safe on both", func() bool { return a.l.Safe(1) == 1 && b.l.Safe(1) == 1 })
		if s := a.status("b"); s.Sent != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// An appended record goes to the peers while the local disk still syncs it, even if it came from
// another peer.
func TestForwardsBeforeLocalSync(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b, c := w.chain()
		a.disk.SetSyncDelay(time.Second)
		b.disk.SetSyncDelay(time.Second)
		for s := uint64(1); s <= 3; s++ {
			a.publish(1, s, s)
			w.now("c has it", func() bool { return c.have(1) == s })
		}
		w.now("no other disk has it", func() bool { return a.l.durable(1) == 0 && b.l.durable(1) == 0 && c.l.durable(1) == 3 })
	})
}

// watch calls step when the first downgrade is due, whichever one it was waiting for.
func TestDowngradesInTime(t *testing.T) {
	within := func(name string, after time.Duration) Destination {
		d := to(name)
		d.DowngradeAfter = after
		return d
	}
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", within("b", 10*time.Second), within("c", 2*time.Second))
		b, c := w.start("b", to("a")), w.start("c", to("a"))
		w.linked(a, b)
		w.linked(a, c)
		b.disk.SetSyncDelay(time.Minute)
		a.publish(1, 1, 1)
		pass(2500 * time.Millisecond) // the step for c has passed; the next one is for reminders, in 2.5 s, and that for b in 7.5 s
		c.disk.SetSyncDelay(time.Minute)
		a.publish(1, 2, 2)
		pass(2*time.Second - time.Millisecond)
		w.now("c counts", func() bool { return a.status("c").Ack == "counting" })
		pass(2 * time.Millisecond)
		w.now("c is left out", func() bool { return a.status("c").Ack == "downgraded" && a.status("b").Ack == "counting" })
	})
}
