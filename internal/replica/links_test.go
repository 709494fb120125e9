package replica

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

func TestPairReplicatesBothWays(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		a.publish(1, 1, 50)
		b.publish(2, 1, 50)
		w.same(a, b)
		w.eventually("safe", func() bool {
			return a.l.Safe(1) == 50 && b.l.Safe(1) == 50 && a.l.Safe(2) == 50 && b.l.Safe(2) == 50
		})
		if a.l.Settled(1) != 50 || a.l.Single() || !a.l.Reachable() || a.l.CatchingUp() {
			t.Errorf("settled %d, single %v, reachable %v, catching up %v",
				a.l.Settled(1), a.l.Single(), a.l.Reachable(), a.l.CatchingUp())
		}
		// No record is echoed or sent twice.
		if s, r := a.status("b"), b.status("a"); s.Sent != 50 || s.Received != 50 || r.Sent != 50 || r.Received != 50 {
			t.Errorf("a sent %d and received %d, b %d and %d: want 50 each", s.Sent, s.Received, r.Sent, r.Received)
		}
	})
}

func TestLoneInstance(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.instance("a", func(o *Options) { o.Listener.Close(); o.Listener = nil })
		a.start()
		if !a.isReady() || a.l.CatchingUp() || a.l.Single() || a.l.Reachable() {
			t.Error("a lone instance waits for a peer")
		}
		a.publish(1, 1, 5)
		w.eventually("durable", func() bool { return a.l.Safe(1) == 5 && a.l.Settled(1) == 5 })
		if a.watermarkCalls.Load() == 0 {
			t.Error("OnWatermark was not called")
		}
	})
}

// While no destination is left out, settled equals safe at every moment. Otherwise a publisher
// would hear that acks stand for one disk (R5).
func TestSettledEqualsSafe(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, _ := w.pair()
		w.eventually("up", a.l.Reachable)
		for n := uint64(1); n <= 300; n++ {
			a.publish(1, n, n)
			for safe, settled := uint64(0), uint64(0); safe < n; runtime.Gosched() {
				if safe, settled = a.l.Watermarks(1); safe != settled {
					t.Fatalf("safe %d, settled %d", safe, settled)
				}
			}
		}
	})
}

// Whatever two instances have, and however it is interleaved, both end with the same messages (R2,
// G5).
func TestConvergence(t *testing.T) {
	type step struct {
		at       string
		pub      uint64
		from, to uint64
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"one is empty", []step{{"a", 1, 1, 300}}},
		{"the other is empty", []step{{"b", 1, 1, 300}}},
		{"different publishers", []step{{"a", 1, 1, 9}, {"b", 2, 1, 9}}},
		{"prefixes of one another", []step{{"a", 1, 1, 9}, {"b", 1, 1, 4}, {"a", 2, 1, 2}, {"b", 2, 1, 7}}},
		{"interleaved differently", []step{
			{"a", 1, 1, 3}, {"a", 2, 1, 3}, {"a", 1, 4, 6}, {"a", 3, 1, 2},
			{"b", 3, 1, 5}, {"b", 2, 1, 5}, {"b", 1, 1, 2}, {"b", 4, 1, 1},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				a := w.instance("a", func(o *Options) { o.Destinations = []Destination{to("b")} })
				b := w.instance("b", func(o *Options) { o.Destinations = []Destination{to("a")} })
				a.open()
				b.open()
				for _, s := range tt.steps {
					i := a
					if s.at == "b" {
						i = b
					}
					i.publish(s.pub, s.from, s.to)
				}
				a.start()
				b.start()
				w.linked(a, b)
				w.same(a, b)
				w.eventually("both are ready", func() bool { return a.isReady() && b.isReady() })
			})
		})
	}
}

// A peer whose disk was replaced gets everything back, including the messages that its clients had
// sent to it (T6).
func TestWipedPeerGetsEverythingBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		a.publish(1, 1, 20)
		b.publish(2, 1, 20)
		w.same(a, b)
		want := a.text()
		b.kill(memfs.Durable)
		b.disk = memfs.New()
		a.publish(1, 21, 22)
		b.start()
		w.linked(a, b)
		w.same(a, b)
		if want == a.text() || b.have(2) != 20 {
			t.Errorf("b has %d of its own messages", b.have(2))
		}
		if !a.logged("less than it had acknowledged") {
			t.Error("a doesn't log that b has lost its journal")
		}
		// The other way round, right after it.
		a.kill(memfs.Durable)
		a.disk = memfs.New()
		a.start()
		w.linked(a, b)
		w.same(a, b)
	})
}

// A record counts as safe when the peer's disk has it, not when the peer has received it (R2, G2).
func TestSafeOnlyAfterPeersSync(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		b.disk.SetSyncDelay(300 * time.Millisecond)
		a.publish(1, 1, 1)
		w.eventually("b has it", func() bool { return b.have(1) == 1 })
		w.now("it is durable at a only", func() bool { return a.l.durable(1) == 1 && b.l.durable(1) == 0 })
		if safe := a.l.Safe(1); safe != 0 {
			t.Fatalf("safe = %d before the peer's fsync", safe)
		}
		w.eventually("safe", func() bool { return a.l.Safe(1) == 1 })
		if b.l.durable(1) != 1 {
			t.Error("safe before it was durable at b")
		}
		b.disk.SetSyncDelay(0)
	})
}

// A peer's acknowledgements are void when its connection ends.
func TestWatermarkVoidAtDisconnect(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		a.publish(1, 1, 5)
		w.eventually("safe", func() bool { return a.l.Safe(1) == 5 })
		b.kill(memfs.KeepAll)
		w.eventually("void", func() bool { return a.l.Safe(1) == 0 && a.l.Settled(1) == 0 })
		if s := a.status("b"); s.State != "down" || s.Reason == "" || a.l.Reachable() {
			t.Errorf("status %+v", s)
		}
		// It comes back without the records that it had.
		b.disk = memfs.New()
		b.disk.SetSyncDelay(200 * time.Millisecond)
		b.start()
		w.eventually("connected", func() bool { return a.status("b").State != "down" })
		w.now("still not safe", func() bool { return a.l.Safe(1) == 0 })
		w.eventually("safe again", func() bool { return a.l.Safe(1) == 5 })
		if b.l.durable(1) != 5 {
			t.Error("safe before b has it")
		}
		b.disk.SetSyncDelay(0)
	})
}

// A link that carries some topics sends markers for the messages of the others, once these are
// durable here (R3).
func TestElsewhere(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		some := func(name string) Destination {
			d := to(name)
			d.Topics = []string{"x"}
			return d
		}
		a, b := w.start("a", some("b")), w.start("b", some("a"))
		w.linked(a, b)
		a.disk.SetSyncDelay(time.Second)
		a.publishTo("x", 1, 1, 2)
		a.publishTo("y", 1, 3, 4)
		a.publishTo("x", 1, 5, 5)
		w.now("records before the marker arrive at once, the marker and later ones wait", func() bool { return b.have(1) == 2 })
		w.eventually("all of it", func() bool { return b.have(1) == 5 })
		if durable := a.l.durable(1); durable < 4 {
			t.Errorf("the marker came when only %d was durable", durable)
		}
		want := "1: message 1 x body of 1|1, message 2 x body of 1|2, elsewhere 3  , elsewhere 4  , message 5 x body of 1|5\n"
		if got := b.text(); got != want {
			t.Errorf("b holds\n%s, want\n%s", got, want)
		}
		w.eventually("safe", func() bool { return a.l.Safe(1) == 5 })
		if c := a.l.CarriedTopics(); len(c) != 1 || c[0] != "x" {
			t.Errorf("carried: %v", c)
		}
		a.disk.SetSyncDelay(0)
	})
}

func mustState(i *instance, publisher uint64) journal.PublisherState {
	s, known := i.j.State(publisher)
	if !known {
		i.w.t.Fatalf("%s does not know %d", i.name, publisher)
	}
	return s
}

// The link sends gone markers for messages that retention has removed (R2).
func TestFloorsForAWipedPeer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		a.publish(9, 1, 2) // none of it will be left
		a.publish(1, 1, 600)
		a.publish(2, 1, 3)
		w.eventually("safe", func() bool { return a.l.Safe(1) == 600 && a.l.Safe(2) == 3 })
		n, err := a.j.Trim(journal.Retention{Bytes: 1, SegmentNeeded: a.l.MustKeep})
		if err != nil || n == 0 {
			t.Fatalf("trimmed %d segments: %v", n, err)
		}
		floor := a.j.Floors()[1]
		if floor == 0 || floor >= 600 {
			t.Fatalf("floor %d, want one in the middle", floor)
		}
		b.kill(memfs.Durable)
		b.disk = memfs.New()
		b.start()
		w.linked(a, b)
		w.eventually("b has all there is", func() bool { return b.have(1) == 600 && b.have(2) == 3 && b.have(9) == 2 })
		if got := b.j.Floors()[1]; got != floor {
			t.Errorf("floor %d at b, %d at a", got, floor)
		}
		for _, p := range []uint64{1, 2, 9} { // so that they can be compared from now on
			ours, theirs := mustState(a, p), mustState(b, p)
			if ours.RunningCRC != theirs.RunningCRC || ours.RunningCRC == 0 {
				t.Errorf("running CRC of publisher %d: %x at a, %x at b", p, ours.RunningCRC, theirs.RunningCRC)
			}
		}
		b.publish(3, 1, 1)
		w.eventually("safe", func() bool { return b.l.Safe(3) == 1 && a.l.Safe(1) == 600 })
		pass(2 * time.Second)
		if d := a.status("b").Diverged + b.status("a").Diverged; d != 0 {
			t.Errorf("%d divergences found where there are none", d)
		}
	})
}

// A marker does not hide the records before it: an instance that joins gets them, too.
func TestRecordsBeforeAGoneMarker(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.instance("a", func(o *Options) { o.Destinations = []Destination{to("b")} })
		a.open()
		a.publish(1, 1, 10)
		a.append(&journal.Record{Kind: journal.Gone, Publisher: 1, Sequence: 50, Prev: 10})
		a.publish(1, 51, 55)
		a.append(&journal.Record{Kind: journal.Gone, Publisher: 2, Sequence: 7})
		a.append(&journal.Record{Kind: journal.Tombstone, Publisher: 3, Sequence: 4, Reason: []byte("bad topic")})
		a.append(&journal.Record{Kind: journal.Tombstone, Publisher: 3, Sequence: 6, Prev: 4, Reason: []byte("rejected elsewhere")})
		a.append(&journal.Record{Kind: journal.Empty, Publisher: 3, Sequence: 7, Prev: 6})
		a.start()
		b := w.start("b", to("a"))
		w.linked(a, b)
		w.same(a, b)
	})
}

// Retention removes nothing that a destination has not acknowledged. The end of a connection does
// not take its acknowledgements back.
func TestMustKeep(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.instance("a", func(o *Options) {
			o.Destinations = []Destination{to("b"), {Name: "c", Address: "c:9107"}}
		})
		a.start()
		b, c := w.start("b", to("a")), w.start("c")
		w.linked(a, b)
		w.eventually("c is linked", a.state("c", "live"))
		a.publish(1, 1, 5)
		mustKeep := func(s uint64) bool { return a.l.MustKeep(map[uint64]uint64{1: s}) }
		w.eventually("all have it", func() bool { return !mustKeep(5) })
		w.Cut("a", "c")
		a.publish(1, 6, 6)
		w.eventually("b has it", func() bool { return a.l.Safe(1) == 6 })
		if !mustKeep(6) || mustKeep(5) {
			t.Errorf("must keep 6: %v, 5: %v", mustKeep(6), mustKeep(5))
		}
		w.eventually("c is lost", a.state("c", "down"))
		if !mustKeep(6) || mustKeep(5) {
			t.Errorf("with c away must keep 6: %v, 5: %v", mustKeep(6), mustKeep(5))
		}
		w.Heal("a", "c")
		w.eventually("c has it, too", func() bool { return !mustKeep(6) })
		if a.l.MustKeep(map[uint64]uint64{1: 6, 9: 1}) == false {
			t.Error("a record that no destination has need not be kept")
		}
		_ = c
	})
}

// A destination that is away for too long is given up. It gets the floor when it returns (R5).
func TestGiveUp(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		d := to("b")
		d.DowngradeAfter = time.Second
		a := w.instance("a", func(o *Options) {
			o.Destinations = []Destination{d}
			o.HoldBytes = 64 << 10
		})
		a.start()
		b := w.start("b", to("a"))
		w.linked(a, b)
		a.publish(1, 1, 10)
		w.eventually("safe", func() bool { return a.l.Safe(1) == 10 })
		b.close()
		a.publish(1, 11, 200)
		pass(10 * time.Second)
		if a.status("b").GivenUp {
			t.Fatal("given up below hold")
		}
		trim := func() int {
			n, err := a.j.Trim(journal.Retention{Bytes: 1, SegmentNeeded: a.l.MustKeep})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		trim()
		if first := a.j.Floors()[1]; first > 10 {
			t.Fatalf("floor %d, and b only has 10", first)
		}
		a.publish(1, 201, 2000)
		w.eventually("given up", func() bool { return a.status("b").GivenUp })
		if trim() == 0 || !a.logged("given up") {
			t.Fatal("nothing trimmed, or nothing logged")
		}
		floor := a.j.Floors()[1]
		b.start()
		w.linked(a, b)
		w.eventually("b has all there is", func() bool { return b.have(1) == 2000 })
		var hole journal.Record
		b.each(func(r *journal.Record) {
			if r.Kind == journal.Gone {
				hole = *r
			}
		})
		if got := b.j.Floors()[1]; got != 0 || hole.Prev != 10 || hole.Sequence != floor {
			t.Errorf("floor %d at b, whose marker is %d to %d; floor %d at a", got, hole.Prev+1, hole.Sequence, floor)
		}
		if a.status("b").GivenUp {
			t.Error("still given up")
		}
	})
}

// A link whose cursor is overtaken by retention does not skip records silently.
func TestTrimmedUnderTheSender(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		w.Pause("b")
		for s := uint64(1); s <= 400; s++ { // more than the buffers and a batch hold
			r := message(1, s, "x")
			r.Body = make([]byte, 10<<10)
			a.append(r)
			synctest.Wait()
		}
		n, err := a.j.Trim(journal.Retention{Bytes: 1})
		if err != nil || n == 0 {
			t.Fatalf("trimmed %d: %v", n, err)
		}
		w.Resume("b")
		w.eventually("b has all there is", func() bool { return b.have(1) == 400 && a.l.Safe(1) == 400 })
		marked := uint64(0)
		b.each(func(r *journal.Record) {
			if r.Kind == journal.Gone {
				marked = r.Sequence
			}
		})
		if floor, got := a.j.Floors()[1], b.j.Floors()[1]; marked == 0 || marked > floor || got != 0 {
			t.Errorf("floor %d at b, marker up to %d, floor %d at a", got, marked, floor)
		}
		if a.logged("link lost") || a.logged("hole") { // connections may have crossed at the start
			t.Error("the link was lost over it")
		}
	})
}

// Of three instances two are not linked with each other. A message that one of them takes in
// reaches the other through the one between them.
func TestThroughAThirdInstance(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b, c := w.chain()
		a.publish(1, 1, 30)
		c.publish(2, 1, 30)
		b.publish(3, 1, 30)
		w.same(a, b, c)
		w.eventually("safe at b", func() bool { return b.l.Safe(1) == 30 && b.l.Safe(2) == 30 && b.l.Safe(3) == 30 })
	})
}

func TestThreeInstances(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", to("b"), to("c"))
		b := w.start("b", to("a"), to("c"))
		c := w.start("c", to("a"), to("b"))
		w.linked(a, b)
		w.linked(b, c)
		w.linked(a, c)
		for i, in := range []*instance{a, b, c} {
			in.publish(uint64(i+1), 1, 20)
		}
		w.same(a, b, c)
		w.eventually("safe everywhere", func() bool {
			return a.l.Safe(1) == 20 && b.l.Safe(1) == 20 && c.l.Safe(1) == 20 && a.l.Safe(3) == 20
		})
		c.kill(memfs.KeepAll)
		a.publish(1, 21, 21)
		w.eventually("b has it", func() bool { return b.have(1) == 21 })
		pass(time.Second)
		if safe := a.l.Safe(1); safe != 0 {
			t.Errorf("safe = %d without c", safe)
		}
	})
}

// An async link does not count for acks, and loses nothing either.
func TestAsync(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", to("b"), Destination{Name: "c", Address: "c:9107"})
		b := w.start("b", to("a"))
		w.linked(a, b)
		a.publish(1, 1, 5)
		w.eventually("safe without c", func() bool { return a.l.Safe(1) == 5 })
		if s := a.status("c"); s.Ack != "" || s.Sync {
			t.Errorf("status %+v", s)
		}
		c := w.start("c")
		w.eventually("c is linked", a.state("c", "live"))
		w.same(a, b, c)
		w.eventually("c is ready", c.isReady)
	})
}

// While the journal has failed and the instance has not ended the links yet, a link waits and does
// not spin.
func TestFailedJournal(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		a.disk.SetSyncDelay(10 * time.Millisecond)
		a.publish(1, 1, 1)
		synctest.Wait()
		a.publish(1, 2, 2) // it has been sent when its fsync begins
		a.disk.FailSync(errors.New("input/output error"))
		pass(time.Second) // would take for ever if something spun
		if a.j.Err() == nil {
			t.Error("the journal has not failed")
		}
		b.kill(memfs.KeepAll)
		a.kill(memfs.KeepAll)
	})
}

func TestOnlyAsync(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a", Destination{Name: "b", Address: "b:9107"}), w.start("b")
		w.eventually("linked", a.state("b", "live"))
		a.publish(1, 1, 5)
		w.same(a, b)
		pass(time.Second)
		if a.l.Safe(1) != 0 || a.l.Settled(1) != 5 || !a.l.Single() {
			t.Errorf("safe %d, settled %d, single %v", a.l.Safe(1), a.l.Settled(1), a.l.Single())
		}
	})
}

// Messages of any size cross a connection that delivers them in small pieces.
func TestLargeAndManySmall(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.SetReadChunk(1000)
		a, b := w.pair()
		w.linked(a, b)
		for s := uint64(1); s <= 4; s++ {
			r := message(1, s, "x")
			r.Body = make([]byte, 900<<10)
			a.append(r)
		}
		for p := uint64(2); p < 40; p++ {
			b.publish(p, 1, 20)
		}
		w.same(a, b)
		w.eventually("safe", func() bool { return a.l.Safe(1) == 4 && b.l.Safe(39) == 20 })
	})
}

// Records that are appended before the links hear of the journal's events are acknowledged
// nevertheless.
func TestEventsBeforeStartReturned(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		b.links.Store(nil) // as if b's owner did not have its links yet
		w.linked(a, b)
		a.publish(1, 1, 3)
		w.eventually("safe", func() bool { return a.l.Safe(1) == 3 })
	})
}

func TestStartRefusesBadOptions(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.instance("a", nil)
		a.open()
		for i, o := range []Options{
			{},
			{Journal: a.j, Name: "a"},
			{Journal: a.j, Name: "a", Group: "g", Destinations: []Destination{{}}},
			{Journal: a.j, Name: "a", Group: "g", Destinations: []Destination{{Name: "a"}}},
			{Journal: a.j, Name: "a", Group: "g", Destinations: []Destination{{Name: "b"}, {Name: "b"}}},
			{Journal: a.j, Name: "a", Group: "g", Destinations: []Destination{{Name: "b", Topics: []string{"("}}}},
		} {
			if l, err := Start(o); err == nil {
				t.Errorf("%d: started", i)
				l.Close()
			}
		}
	})
}

// Random publishing, cutting and killing: a message that was safe is never lost, and in the end
// all instances hold the same messages.
func TestRandomFaults(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inWorld(t, func(_ *testing.T, w *world) { randomFaults(w, seed) })
		})
	}
}
