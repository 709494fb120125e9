package bookmarkstoretest

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
)

// An ending is the way in which one use of a subscription ends before the next.
type ending int

const (
	released ending = iota // Release, then OpenSubscription of the same store
	closed                 // Close, then Open
	killed                 // Sync, Kill, then Open
)

func (e ending) String() string {
	return [...]string{"released", "closed", "killed"}[e]
}

// orders is the query of all tests that need no special one.
var orders = bookmarkstore.Query{Topic: "orders"}

// A rig is a store with one subscription in use.
type rig struct {
	t *testing.T
	d Disk
	s bookmarkstore.Store
	bookmarkstore.Subscription
}

// newRig opens the store of d and its subscription "s". Both are closed when the test ends.
func newRig(t *testing.T, d Disk) *rig {
	t.Helper()
	r := &rig{t: t, d: d}
	r.open()
	r.Subscription = r.subscribe("s", orders)
	t.Cleanup(func() {
		if err := r.s.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return r
}

func (r *rig) open() {
	r.t.Helper()
	s, err := r.d.Open()
	if err != nil {
		r.t.Fatalf("Open = %v", err)
	}
	r.s = s
}

func (r *rig) subscribe(id string, q bookmarkstore.Query) bookmarkstore.Subscription {
	r.t.Helper()
	sub, err := r.s.OpenSubscription(id, q)
	if err != nil {
		r.t.Fatalf("OpenSubscription(%q) = %v", id, err)
	}
	return sub
}

// reopen ends the use of the subscription by e and begins the next one with query q.
func (r *rig) reopen(e ending, q bookmarkstore.Query) {
	r.t.Helper()
	switch e {
	case released:
		r.Release()
	case closed:
		r.must(r.s.Close())
		r.open()
	case killed:
		r.must(r.s.Sync(context.Background()))
		r.must(r.d.Kill(r.s))
		r.open()
	}
	r.Subscription = r.subscribe("s", q)
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func bookmarkOf(publisher, sequence uint64) bookmarkstore.Bookmark {
	return bookmarkstore.Bookmark{Publisher: publisher, Sequence: sequence}
}

// receive receives messages of a publisher. Receive must return true for each.
func (r *rig) receive(publisher uint64, sequences ...uint64) {
	r.t.Helper()
	for _, s := range sequences {
		if !r.Receive(bookmarkOf(publisher, s)) {
			r.t.Fatalf("Receive(%d|%d|) = false, want true", publisher, s)
		}
	}
}

// receiveKnown receives messages of a publisher. Receive must return false for each.
func (r *rig) receiveKnown(publisher uint64, sequences ...uint64) {
	r.t.Helper()
	for _, s := range sequences {
		if r.Receive(bookmarkOf(publisher, s)) {
			r.t.Fatalf("Receive(%d|%d|) = true, want false", publisher, s)
		}
	}
}

func (r *rig) discard(publisher uint64, sequences ...uint64) {
	r.t.Helper()
	for _, s := range sequences {
		if err := r.Discard(bookmarkOf(publisher, s)); err != nil {
			r.t.Fatalf("Discard(%d|%d|) = %v", publisher, s, err)
		}
	}
}

func (r *rig) receiveMark(publisher, sequence uint64) {
	r.t.Helper()
	r.must(r.ReceiveMark(bookmarkstore.Vector{publisher: sequence}))
}

// want compares both vectors and the number of outstanding messages.
func (r *rig) want(received, discarded bookmarkstore.Vector, outstanding int) {
	r.t.Helper()
	v, known := r.Received()
	if !maps.Equal(v, received) || !known {
		r.t.Errorf("Received() = %v, %v, want %v, true", v, known, received)
	}
	v, known = r.Discarded()
	if !maps.Equal(v, discarded) || !known {
		r.t.Errorf("Discarded() = %v, %v, want %v, true", v, known, discarded)
	}
	if n := r.Outstanding(); n != outstanding {
		r.t.Errorf("Outstanding() = %d, want %d", n, outstanding)
	}
}

// wantOutOfOrder compares the out-of-order discards.
func (r *rig) wantOutOfOrder(want map[uint64][]uint64) {
	r.t.Helper()
	if got := r.OutOfOrder(); !maps.EqualFunc(got, want, slices.Equal[[]uint64]) {
		r.t.Errorf("OutOfOrder() = %v, want %v", got, want)
	}
}

// wantUnknown fails unless the subscription is a new one.
func (r *rig) wantUnknown() {
	r.t.Helper()
	if v, known := r.Received(); known || len(v) > 0 {
		r.t.Errorf("Received() = %v, %v, want nothing, false", v, known)
	}
	if v, known := r.Discarded(); known || len(v) > 0 {
		r.t.Errorf("Discarded() = %v, %v, want nothing, false", v, known)
	}
	if n := r.Outstanding(); n != 0 {
		r.t.Errorf("Outstanding() = %d, want 0", n)
	}
}
