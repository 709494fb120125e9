package bookmarkstoretest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
)

// A vec is a Vector, for short.
type vec = bookmarkstore.Vector

func testDuplicates(t *testing.T, d Disk) {
	r := newRig(t, d)
	r.must(r.SetBase(vec{}))
	r.receive(1, 3, 5)
	r.receive(2, 4) // each publisher has its own numbers
	r.receiveKnown(1, 3, 5, 4, 1)
	r.receiveKnown(2, 4)
	r.receive(1, 6)
	r.want(vec{1: 6, 2: 4}, vec{}, 4)
}

func testDiscardInOrder(t *testing.T, d Disk) {
	r := newRig(t, d)
	r.receive(1, 3, 5, 9)
	r.discard(1, 3)
	r.want(vec{1: 9}, vec{1: 3}, 2)
	r.discard(1, 5, 9)
	r.want(vec{1: 9}, vec{1: 9}, 0)
	r.receiveKnown(1, 3, 5, 9)
}

func testDiscardOutOfOrder(t *testing.T, d Disk) {
	r := newRig(t, d)
	r.receive(1, 3, 5, 9, 12)
	r.receive(2, 1)
	r.discard(1, 9)
	r.discard(1, 5)
	r.discard(2, 1)
	r.want(vec{1: 12, 2: 1}, vec{2: 1}, 2)
	r.discard(1, 3)
	r.want(vec{1: 12, 2: 1}, vec{1: 9, 2: 1}, 1)
	r.discard(1, 12)
	r.want(vec{1: 12, 2: 1}, vec{1: 12, 2: 1}, 0)
}

func testDiscardNotOutstanding(t *testing.T, d Disk) {
	r := newRig(t, d)
	r.must(r.SetBase(vec{}))
	r.receive(1, 3, 5)
	r.discard(1, 4, 1, 7, 0)
	r.discard(2, 3)
	r.want(vec{1: 5}, vec{}, 2)
	r.discard(1, 3, 3)
	r.want(vec{1: 5}, vec{1: 3}, 1)
	r.receive(1, 7) // was not outstanding at the time of its discard
	r.want(vec{1: 7}, vec{1: 3}, 2)
	for sequence, want := range map[uint64]bool{3: false, 4: false, 5: true, 7: true, 8: false} {
		if got := r.IsOutstanding(bookmarkOf(1, sequence)); got != want {
			t.Errorf("IsOutstanding of %d = %v", sequence, got)
		}
	}
	if r.IsOutstanding(bookmarkOf(2, 3)) {
		t.Error("IsOutstanding of another publisher's = true")
	}
}

func testMark(t *testing.T, d Disk) {
	r := newRig(t, d)
	r.must(r.ReceiveMark(vec{1: 4, 2: 7}))
	r.want(vec{1: 4, 2: 7}, vec{1: 4, 2: 7}, 0)
	r.receiveKnown(1, 4)
	r.receive(1, 5)
	r.discard(1, 5)
	r.receiveMark(1, 3) // an old mark moves nothing back
	r.receiveMark(2, 9)
	r.want(vec{1: 5, 2: 9}, vec{1: 5, 2: 9}, 0)
}

func testMarkWaits(t *testing.T, d Disk) {
	r := newRig(t, d)
	r.must(r.SetBase(vec{}))
	r.receive(1, 2)
	r.receiveMark(1, 4)
	r.receiveMark(1, 6)
	r.receive(1, 8, 9)
	r.receiveMark(1, 10)
	r.want(vec{1: 10}, vec{}, 3)
	r.discard(1, 9)
	r.want(vec{1: 10}, vec{}, 2)
	r.discard(1, 2)
	r.want(vec{1: 10}, vec{1: 6}, 1)
	r.discard(1, 8)
	r.want(vec{1: 10}, vec{1: 10}, 0)
}

func testBase(t *testing.T, d Disk) {
	r := newRig(t, d)
	r.wantUnknown()
	r.must(r.SetBase(vec{1: 100, 2: 7}))
	r.want(vec{1: 100, 2: 7}, vec{1: 100, 2: 7}, 0)
	r.receiveKnown(1, 100)
	r.receive(1, 101)
	r.receive(3, 1) // absent from the base: all of its messages count
	r.want(vec{1: 101, 2: 7, 3: 1}, vec{1: 100, 2: 7}, 2)
}

func testBaseHidesNothing(t *testing.T, d Disk) {
	r := newRig(t, d)
	r.must(r.SetBase(vec{}))
	r.want(vec{}, vec{}, 0) // known, though empty
	r.receive(1, 3)
	r.must(r.SetBase(vec{1: 5}))
	r.want(vec{1: 5}, vec{}, 1)
	r.discard(1, 3)
	r.want(vec{1: 5}, vec{1: 5}, 0)
}

func testKnownWithoutBase(t *testing.T, d Disk) {
	r := newRig(t, d)
	r.receive(1, 3, 4)
	if v, known := r.Discarded(); known {
		t.Errorf("Discarded() = %v, true before anything was kept", v)
	}
	r.discard(1, 4)
	r.want(vec{1: 4}, vec{}, 1)
	r.discard(1, 3)
	r.want(vec{1: 4}, vec{1: 4}, 0)
}

func testForgetPublishers(t *testing.T, d Disk) {
	r := newRig(t, d)
	r.must(r.SetBase(vec{1: 4, 2: 7, 3: 9}))
	r.receive(2, 8)
	r.must(r.ForgetPublishers(vec{1: 4, 2: 8, 3: 5, 9: 1}))
	r.want(vec{2: 8, 3: 9}, vec{2: 7, 3: 9}, 1) // publisher 2 has an outstanding message, 3 had a later one
	r.discard(2, 8)
	r.must(r.ForgetPublishers(vec{2: 8}))
	r.want(vec{3: 9}, vec{3: 9}, 0)
	r.receive(1, 5, 6) // publisher 1 comes back
	r.discard(1, 6)
	r.want(vec{1: 6, 3: 9}, vec{3: 9}, 1)
	r.receiveMark(1, 7)
	r.must(r.ForgetPublishers(vec{1: 7}))
	r.want(vec{1: 7, 3: 9}, vec{3: 9}, 1)
	r.discard(1, 5)
	r.must(r.ForgetPublishers(vec{1: 7, 3: 9}))
	r.want(vec{}, vec{}, 0)
}

func testReset(t *testing.T, d Disk) {
	r := newRig(t, d)
	r.must(r.SetBase(vec{1: 1, 2: 8}))
	r.receive(1, 2, 3, 4)
	r.discard(1, 2, 4)
	r.must(r.Reset())
	r.wantUnknown()
	r.discard(1, 3) // from before the reset
	r.wantUnknown()
	r.must(r.SetBase(vec{2: 1}))
	r.receive(1, 1, 2, 3, 4)
	r.want(vec{1: 4, 2: 1}, vec{2: 1}, 4)
}

func testOtherQuery(t *testing.T, d Disk) {
	r := newRig(t, d)
	for _, q := range []bookmarkstore.Query{
		{Topic: "trades"},
		{Topic: "orders", Filter: "/price > 3"},
		{Topic: "order", Filter: "s"},
	} {
		r.receive(1, 2, 3, 4)
		r.discard(1, 2, 4)
		r.reopen(released, q)
		r.wantUnknown()
		r.receive(1, 1, 2, 3, 4)
		r.reopen(released, orders)
		r.wantUnknown()
	}
}

func testSeveral(t *testing.T, d Disk) {
	r := newRig(t, d)
	other := r.subscribe("other", bookmarkstore.Query{Topic: "trades"})
	r.receive(1, 1, 2)
	if !other.Receive(bookmarkOf(1, 1)) {
		t.Error("a message of one subscription counts as received in another")
	}
	r.discard(1, 1, 2)
	r.want(vec{1: 2}, vec{1: 2}, 0)
	if n := other.Outstanding(); n != 1 {
		t.Errorf("Outstanding() of the other = %d, want 1", n)
	}
	if v, known := other.Discarded(); known {
		t.Errorf("Discarded() of the other = %v, true", v)
	}
}

func testIDs(t *testing.T, d Disk) {
	r := newRig(t, d)
	for _, id := range []string{"", strings.Repeat("x", 257)} {
		if s, err := r.s.OpenSubscription(id, orders); err == nil || s != nil {
			t.Errorf("Subscription with an id of %d bytes: no error", len(id))
		}
	}
	ids := []string{strings.Repeat("x", 256), "../../etc/passwd", "a/b", "a", "\x00", "\xff\xfe", "head", "format", "häuser", " "}
	for i, id := range ids {
		if !r.subscribe(id, orders).Receive(bookmarkOf(uint64(i), 1)) {
			t.Errorf("id %q shares the place of another id", id)
		}
	}
}

func testInUse(t *testing.T, d Disk) {
	r := newRig(t, d)
	if _, err := r.s.OpenSubscription("s", orders); !errors.Is(err, bookmarkstore.ErrInUse) {
		t.Errorf("Subscription of an id in use = %v, want ErrInUse", err)
	}
	if _, err := r.s.OpenSubscription("s", bookmarkstore.Query{Topic: "trades"}); !errors.Is(err, bookmarkstore.ErrInUse) {
		t.Errorf("Subscription of an id in use with another query = %v, want ErrInUse", err)
	}
	r.receive(1, 1)
	r.discard(1, 1)
	r.want(vec{1: 1}, vec{1: 1}, 0)
}

func testRelease(t *testing.T, d Disk) {
	r := newRig(t, d)
	r.receive(1, 1, 2, 3, 4, 5)
	r.discard(1, 1, 4)
	former := r.Subscription
	former.Release()
	if former.Receive(bookmarkOf(1, 6)) {
		t.Error("Receive after Release = true")
	}
	if err := former.SetBase(vec{1: 9}); !errors.Is(err, bookmarkstore.ErrReleased) {
		t.Errorf("SetBase after Release = %v, want ErrReleased", err)
	}
	if err := former.Reset(); !errors.Is(err, bookmarkstore.ErrReleased) {
		t.Errorf("Restart after Release = %v, want ErrReleased", err)
	}
	r.Subscription = r.subscribe("s", orders)
	r.want(vec{1: 1}, vec{1: 1}, 0)
	r.receiveKnown(1, 1)
	r.receive(1, 2, 3)
	r.must(former.Discard(bookmarkOf(1, 2))) // of another use: no effect
	if former.IsOutstanding(bookmarkOf(1, 2)) {
		t.Error("IsOutstanding of another use = true")
	}
	r.receiveKnown(1, 4)
	r.receive(1, 5)
	r.want(vec{1: 5}, vec{1: 1}, 3)
	r.discard(1, 2, 3)
	r.want(vec{1: 5}, vec{1: 4}, 1) // including the message discarded before
	former.Release()
	if _, err := r.s.OpenSubscription("s", orders); !errors.Is(err, bookmarkstore.ErrInUse) {
		t.Errorf("a second Release frees the id of the next use: %v", err)
	}
}

func testClosed(t *testing.T, d Disk) {
	r := newRig(t, d)
	r.receive(1, 1)
	r.must(r.s.Sync(context.Background()))
	r.must(r.s.Close())
	_, err := r.s.OpenSubscription("other", orders)
	for name, err := range map[string]error{
		"Subscription": err,
		"Sync":         r.s.Sync(context.Background()),
		"Discard":      r.Discard(bookmarkOf(1, 1)),
		"SetBase":      r.SetBase(vec{1: 1}),
		"Progress":     r.ReceiveMark(vec{1: 1}),
		"Restart":      r.Reset(),
	} {
		if !errors.Is(err, bookmarkstore.ErrClosed) {
			t.Errorf("%s after Close = %v, want ErrClosed", name, err)
		}
	}
	r.must(r.s.Close()) // a second time
	r.open()            // for the cleanup
}

// testConcurrent runs a reader that receives, handlers that discard, and callers of the query
// methods at the same time.
func testConcurrent(t *testing.T, d Disk) {
	const publishers, messages, handlers = 3, 200, 4
	r := newRig(t, d)
	queue := make(chan bookmarkstore.Bookmark, 16)
	var wg sync.WaitGroup
	for range handlers {
		wg.Go(func() {
			for b := range queue {
				if err := r.Discard(b); err != nil {
					t.Errorf("Discard(%v) = %v", b, err)
				}
				r.Outstanding()
				r.Received()
			}
		})
	}
	wg.Go(func() {
		for range 10 {
			if err := r.s.Sync(context.Background()); err != nil {
				t.Errorf("Sync = %v", err)
			}
			r.Discarded()
		}
	})
	want := vec{}
	for s := range uint64(messages) {
		for p := range uint64(publishers) {
			b := bookmarkOf(p+1, 2*s+1)
			if !r.Receive(b) {
				t.Errorf("Receive(%v) = false", b)
			}
			queue <- b
			want[b.Publisher] = b.Sequence + 1
			if err := r.ReceiveMark(vec{b.Publisher: b.Sequence + 1}); err != nil {
				t.Errorf("Progress = %v", err)
			}
		}
	}
	close(queue)
	wg.Wait()
	r.want(want, want, 0)
}
