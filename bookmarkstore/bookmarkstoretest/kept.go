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
	r.reopen(e, orders) // again, after some of them were received again
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

func testKeptForgetPublishers(t *testing.T, d Disk, e ending) {
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
	r.receive(3, 10) // publisher 3 returns at once
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

func testKeptReset(t *testing.T, d Disk, e ending) {
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

// testRandom runs a subscription with a server that has every message and delivers those above the
// resume vector, and with a handler that discards at random. After each ending exactly the
// undiscarded messages must be delivered again.
func testRandom(t *testing.T, d Disk, e ending) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m := &randomModel{
		rand:      rand.New(rand.NewPCG(seed, 0)),
		r:         newRig(t, d),
		delivered: make(map[uint64]uint64),
		discarded: make(map[bookmarkstore.Bookmark]bool),
	}
	m.r.must(m.r.SetBase(vec{}))
	for range 12 {
		for range 40 {
			m.step()
		}
		m.r.reopen(e, orders)
		m.resume()
	}
}

// A randomModel is the expected state in testRandom. Only messages with odd sequences match the
// subscription.
type randomModel struct {
	rand        *rand.Rand
	r           *rig
	delivered   map[uint64]uint64 // the server has delivered up to here
	outstanding []bookmarkstore.Bookmark
	discarded   map[bookmarkstore.Bookmark]bool
}

func (m *randomModel) step() {
	p := 1 + m.rand.Uint64N(3)
	switch n := m.rand.IntN(10); {
	case n < 5:
		m.deliver(p)
	case n < 6:
		m.r.receiveMark(p, m.delivered[p])
	case n < 7:
		v, _ := m.r.Received() // the client reconnects within the process
		m.delivered = copied(v)
	case len(m.outstanding) > 0:
		i := m.rand.IntN(len(m.outstanding))
		b := m.outstanding[i]
		m.outstanding = append(m.outstanding[:i], m.outstanding[i+1:]...)
		m.discarded[b] = true
		m.r.must(m.r.Discard(b))
	}
}

func (m *randomModel) deliver(p uint64) {
	m.r.t.Helper()
	m.delivered[p]++
	b := bookmarkOf(p, m.delivered[p])
	if b.Sequence%2 == 0 {
		return
	}
	if fresh := m.r.Receive(b); fresh == m.discarded[b] {
		m.r.t.Fatalf("Receive(%v) = %v, discarded before: %v", b, fresh, m.discarded[b])
	} else if fresh {
		m.outstanding = append(m.outstanding, b)
	}
}

// resume delivers messages again, from the resume vector up to the server's last position.
func (m *randomModel) resume() {
	m.r.t.Helper()
	before := m.delivered
	want := make(map[bookmarkstore.Bookmark]bool)
	for _, b := range m.outstanding {
		want[b] = true
	}
	m.outstanding = nil
	v, _ := m.r.Discarded()
	m.delivered = copied(v)
	for p, sequence := range before {
		for m.delivered[p] < sequence {
			m.deliver(p)
		}
	}
	got := make(map[bookmarkstore.Bookmark]bool)
	for _, b := range m.outstanding {
		got[b] = true
	}
	if !maps.Equal(got, want) {
		m.r.t.Fatalf("delivered again: %v\nundiscarded: %v", got, want)
	}
}

// copied returns a writable copy, never nil.
func copied(v bookmarkstore.Vector) map[uint64]uint64 {
	m := make(map[uint64]uint64)
	maps.Copy(m, v)
	return m
}
