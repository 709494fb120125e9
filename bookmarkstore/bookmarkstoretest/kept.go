package bookmarkstoretest

import (
	"context"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
)

func testKept(t *testing.T, d Disk, e ending) {
	r := newRig(t, d)
	r.receive(1, 3, 5)
	r.receive(2, 1)
	r.discard(1, 3)
	r.receiveMark(3, 8)
	r.reopen(e, orders)
	r.want(vec{1: 3, 3: 8}, vec{1: 3, 3: 8}, 0)
	r.receiveKnown(1, 3)
	r.receive(1, 5)
	r.receive(2, 1)
	r.discard(1, 5)
	r.discard(2, 1)
	r.receiveMark(3, 9)
	r.reopen(e, orders)
	r.want(vec{1: 5, 2: 1, 3: 9}, vec{1: 5, 2: 1, 3: 9}, 0)
}

func testKeptOutOfOrder(t *testing.T, d Disk, e ending) {
	r := newRig(t, d)
	r.receive(1, 3, 5, 7, 9)
	r.discard(1, 5, 9)
	r.reopen(e, orders)
	r.want(vec{}, vec{}, 0)
	r.wantOutOfOrder(map[uint64][]uint64{1: {5, 9}})
	r.receive(1, 3)
	r.receiveKnown(1, 5)
	r.wantOutOfOrder(map[uint64][]uint64{1: {9}})
	r.reopen(e, orders) // a second time, with some of them received again
	r.receive(1, 3)
	r.receiveKnown(1, 5)
	r.receive(1, 7)
	r.want(vec{1: 7}, vec{}, 2)
	r.discard(1, 3)
	r.want(vec{1: 7}, vec{1: 5}, 1)
	r.reopen(e, orders)
	r.want(vec{1: 5}, vec{1: 5}, 0)
	r.receive(1, 7)
	r.receiveKnown(1, 9)
	r.discard(1, 7)
	r.want(vec{1: 9}, vec{1: 9}, 0)
	r.wantOutOfOrder(nil)
	r.reopen(e, orders)
	r.want(vec{1: 9}, vec{1: 9}, 0)
	r.wantOutOfOrder(nil)
}

func testKeptForget(t *testing.T, d Disk, e ending) {
	r := newRig(t, d)
	r.must(r.SetBase(vec{1: 4, 2: 7, 3: 9}))
	r.receive(2, 8, 9)
	r.discard(2, 9) // out of order
	r.must(r.ForgetPublishers(vec{1: 4, 2: 9}))
	r.reopen(e, orders)
	r.want(vec{2: 7, 3: 9}, vec{2: 7, 3: 9}, 0)
	r.receive(2, 8)
	r.must(r.ForgetPublishers(vec{2: 9}))
	r.receiveKnown(2, 9)
	r.discard(2, 8)
	r.must(r.ForgetPublishers(vec{2: 9}))
	r.reopen(e, orders)
	r.want(vec{3: 9}, vec{3: 9}, 0)
	r.wantOutOfOrder(nil)
	r.receive(4, 1)
	r.must(r.ForgetPublishers(vec{3: 9}))
	r.receive(3, 10) // comes back at once
	r.discard(3, 10)
	r.discard(4, 1)
	r.reopen(e, orders)
	r.want(vec{3: 10, 4: 1}, vec{3: 10, 4: 1}, 0)
	r.must(r.ForgetPublishers(vec{3: 10, 4: 1}))
	r.reopen(e, orders)
	r.want(vec{}, vec{}, 0) // empty, but still known
}

func testKeptBase(t *testing.T, d Disk, e ending) {
	r := newRig(t, d)
	r.reopen(e, orders)
	r.wantUnknown()
	r.must(r.SetBase(vec{1: 7}))
	r.receive(1, 8)
	r.receive(2, 1)
	r.reopen(e, orders)
	r.want(vec{1: 7}, vec{1: 7}, 0)
	r.must(r.Reset())
	r.must(r.SetBase(vec{}))
	r.reopen(e, orders)
	r.want(vec{}, vec{}, 0)
}

// testKeptBeforeBase calls SetBase for a subscription that has a stored place.
func testKeptBeforeBase(t *testing.T, d Disk, e ending) {
	r := newRig(t, d)
	r.receive(1, 3, 5, 7)
	r.discard(1, 3, 7)
	r.must(r.s.Sync(context.Background()))
	r.must(r.SetBase(vec{2: 4}))
	r.reopen(e, orders)
	r.want(vec{1: 3, 2: 4}, vec{1: 3, 2: 4}, 0)
	r.receive(1, 5)
	r.receiveKnown(1, 7)
}

// testBaseAtOnce relies on the sync of SetBase alone.
func testBaseAtOnce(t *testing.T, d Disk) {
	r := newRig(t, d)
	r.must(r.SetBase(vec{1: 7, 2: 1}))
	r.must(r.d.Kill(r.s))
	r.open()
	r.Subscription = r.subscribe("s", orders)
	r.want(vec{1: 7, 2: 1}, vec{1: 7, 2: 1}, 0)
}

func testKeptRestart(t *testing.T, d Disk, e ending) {
	r := newRig(t, d)
	r.must(r.SetBase(vec{1: 1, 2: 8}))
	r.receive(1, 2, 3, 4)
	r.discard(1, 2, 4)
	r.reopen(e, orders)
	r.must(r.Reset())
	r.reopen(e, orders)
	r.wantUnknown()
	r.receive(1, 2, 3, 4)
	r.discard(1, 2)
	r.reopen(e, orders)
	r.want(vec{1: 2}, vec{1: 2}, 0)
	r.receive(1, 3, 4)
}

func testKeptOtherQuery(t *testing.T, d Disk, e ending) {
	r := newRig(t, d)
	r.must(r.SetBase(vec{1: 1}))
	r.receive(1, 2, 3, 4)
	r.discard(1, 2, 4)
	filtered := bookmarkstore.Query{Topic: "orders", Filter: "/x = 1"}
	r.reopen(e, filtered)
	r.wantUnknown()
	r.receive(1, 4)
	r.reopen(e, filtered)
	r.wantUnknown()
	r.reopen(e, orders)
	r.wantUnknown()
	r.receive(1, 2, 3, 4)
}

// testRandom runs a subscription against a server that has every message and delivers those above
// the resume vector, and against a handler that discards at random. After each ending exactly the
// undiscarded messages must are delivered again.
func testRandom(t *testing.T, d Disk, e ending) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &randomModel{
		rand:      rand.New(rand.NewPCG(seed, 0)),
		r:         newRig(t, d),
		delivered: make(map[uint64]uint64),
		discarded: make(map[bookmarkstore.Bookmark]bool),
	}
	w.r.must(w.r.SetBase(vec{}))
	for range 12 {
		for range 40 {
			w.step()
		}
		w.r.reopen(e, orders)
		w.resume()
	}
}

// A randomModel is the expected state in testRandom. Messages have odd sequences: the even ones do
// not match.
type randomModel struct {
	rand        *rand.Rand
	r           *rig
	delivered   map[uint64]uint64 // the server has delivered up to here
	outstanding []bookmarkstore.Bookmark
	discarded   map[bookmarkstore.Bookmark]bool
}

func (w *randomModel) step() {
	p := 1 + w.rand.Uint64N(3)
	switch n := w.rand.IntN(10); {
	case n < 5:
		w.deliver(p)
	case n < 6:
		w.r.receiveMark(p, w.delivered[p])
	case n < 7:
		v, _ := w.r.Received() // the connection is lost, the process goes on
		w.delivered = copied(v)
	case len(w.outstanding) > 0:
		i := w.rand.IntN(len(w.outstanding))
		b := w.outstanding[i]
		w.outstanding = append(w.outstanding[:i], w.outstanding[i+1:]...)
		w.discarded[b] = true
		w.r.must(w.r.Discard(b))
	}
}

func (w *randomModel) deliver(p uint64) {
	w.r.t.Helper()
	w.delivered[p]++
	b := bookmarkOf(p, w.delivered[p])
	if b.Sequence%2 == 0 {
		return
	}
	if fresh := w.r.Receive(b); fresh == w.discarded[b] {
		w.r.t.Fatalf("Receive(%v) = %v, discarded before: %v", b, fresh, w.discarded[b])
	} else if fresh {
		w.outstanding = append(w.outstanding, b)
	}
}

// resume delivers messages again, from the resume vector up to the server's last position.
func (w *randomModel) resume() {
	w.r.t.Helper()
	was := w.delivered
	want := make(map[bookmarkstore.Bookmark]bool)
	for _, b := range w.outstanding {
		want[b] = true
	}
	w.outstanding = nil
	v, _ := w.r.Discarded()
	w.delivered = copied(v)
	for p, sequence := range was {
		for w.delivered[p] < sequence {
			w.deliver(p)
		}
	}
	got := make(map[bookmarkstore.Bookmark]bool)
	for _, b := range w.outstanding {
		got[b] = true
	}
	if !maps.Equal(got, want) {
		w.r.t.Fatalf("came again: %v\nundiscarded: %v", got, want)
	}
}

// copied returns a writable copy, never nil.
func copied(v bookmarkstore.Vector) map[uint64]uint64 {
	m := make(map[uint64]uint64)
	maps.Copy(m, v)
	return m
}
