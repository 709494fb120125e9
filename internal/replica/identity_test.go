package replica

import (
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// Two publishers have one id, one on each side of a cut. Neither side's records count for the
// other's publisher, and the link goes on without both.
func TestOtherPublisherInHello(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.instance("a", func(o *Options) { o.Destinations = []Destination{to("b")} }), w.instance("b", func(o *Options) { o.Destinations = []Destination{to("a")} })
		a.open()
		b.open()
		a.publish(1, 1, 3)
		r := message(1, 1, "x")
		r.Check = checkOf(2)
		if _, err := b.j.Append(r); err != nil {
			t.Fatal(err)
		}
		a.start()
		b.start()
		w.linked(a, b)
		if a.j.Diverged(1) != 1 || b.j.Diverged(1) != 1 || !a.logged("DIVERGED", "publisher=1") {
			t.Errorf("diverged from %d and %d", a.j.Diverged(1), b.j.Diverged(1))
		}
		pass(10 * time.Second)
		if safe := a.l.Safe(1); safe != 0 || b.have(1) != 1 || a.have(1) != 3 {
			t.Errorf("safe %d, a has %d, b has %d, want 0, 3 and 1", safe, a.have(1), b.have(1))
		}
	})
}

// The same while the link is up: the first record shows that it belongs to another publisher.
func TestOtherPublisherInRecord(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		f := w.fake("b")
		a := w.start("a", to("b"))
		c := f.accept()
		c.handshake(&Hello{})
		w.eventually("a is linked", func() bool { return a.status("b").State != "down" })
		a.publish(1, 1, 1)
		r := message(1, 2, "x")
		r.Check = checkOf(2)
		c.sendRecords(r)
		w.eventually("it has diverged", func() bool { return a.j.Diverged(1) == 1 })
		if a.have(1) != 1 || a.status("b").State == "down" {
			t.Error("a message of another publisher was appended, or ended the link")
		}
	})
}

// A publisher's check is on the peer's disk with its first record, whichever way that gets there:
// unchanged, after a floor, as a marker for a topic that the link does not carry, or when the
// first record here has no check.
func TestChecksReplicate(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		toB := to("b")
		toB.Topics = []string{"x"}
		toA := to("a")
		toA.Topics = []string{"x"}
		a := w.instance("a", func(o *Options) { o.Destinations = []Destination{toB} })
		a.open()
		a.publish(1, 1, 3)
		a.append(&journal.Record{Kind: journal.Gone, Publisher: 2, Sequence: 9})
		for s := range uint64(2) { // healed after the record with the check was lost
			if _, err := a.j.Append(message(5, s+1, "x")); err != nil {
				t.Fatal(err)
			}
		}
		a.publish(5, 3, 3)
		a.start()
		b := w.start("b", toA)
		w.linked(a, b)
		w.same(a, b)
		a.publish(3, 1, 2)
		a.publishTo("local", 4, 1, 2)
		w.eventually("b has all", func() bool { return b.have(3) == 2 && b.have(4) == 2 })
		w.eventually("safe", func() bool { return a.l.Safe(4) == 2 })
		for _, crash := range []bool{false, true} {
			if crash {
				b.kill(memfs.Durable)
				b.open()
			}
			for p := range uint64(5) {
				if s, _ := b.j.State(p + 1); s.Check != checkOf(p+1) {
					t.Errorf("publisher %d has check %x at b, crashed: %v", p+1, s.Check, crash)
				}
			}
		}
		seen := make(map[uint64]bool)
		f := b.j.Follow(0, journal.Appended)
		defer f.Close()
		for r := (journal.Record{}); ; {
			ok, err := f.Next(&r)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if !seen[r.Publisher] && r.Check != checkOf(r.Publisher) {
				t.Errorf("the first record of publisher %d has check %x", r.Publisher, r.Check)
			}
			seen[r.Publisher] = true
		}
	})
}
