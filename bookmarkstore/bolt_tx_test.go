package bookmarkstore_test

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"go.etcd.io/bbolt"
)

var orders = bookmarkstore.Query{Topic: "orders"}

type vec = bookmarkstore.Vector

// An app is an application's database with a store and one subscription "s", which has received
// messages 1 to 6 of publisher 1.
type app struct {
	t    *testing.T
	path string
	db   *bbolt.DB
	b    *bookmarkstore.Bolt
	bookmarkstore.Subscription
}

func newApp(t *testing.T, o bookmarkstore.BoltOptions) *app {
	t.Helper()
	a := &app{t: t, path: filepath.Join(t.TempDir(), "app.db")}
	a.open(o)
	a.must(a.SetBase(vec{}))
	for s := range uint64(6) {
		a.Receive(bookmarkstore.Bookmark{Publisher: 1, Sequence: s + 1})
	}
	t.Cleanup(func() {
		if err := errors.Join(a.b.Close(), a.db.Close()); err != nil {
			t.Error(err)
		}
	})
	return a
}

func (a *app) open(o bookmarkstore.BoltOptions) {
	a.t.Helper()
	var err error
	a.db, err = bbolt.Open(a.path, 0o600, nil)
	a.must(err)
	a.b, err = bookmarkstore.OpenBoltIn(a.db, "marks", o)
	a.must(err)
	a.Subscription, err = a.b.OpenSubscription("s", orders)
	a.must(err)
}

func (a *app) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *app) begin() *bbolt.Tx {
	a.t.Helper()
	tx, err := a.db.Begin(true)
	a.must(err)
	a.t.Cleanup(func() { tx.Rollback() })
	return tx
}

// discardTx discards messages of publisher 1 in tx.
func (a *app) discardTx(tx *bbolt.Tx, sequences ...uint64) {
	a.t.Helper()
	for _, s := range sequences {
		a.must(a.b.DiscardTx(tx, refOf("s", s)))
	}
}

// wantNotOutstanding fails unless discarding messages of publisher 1 in tx returns
// ErrNotOutstanding.
func (a *app) wantNotOutstanding(tx *bbolt.Tx, sequences ...uint64) {
	a.t.Helper()
	for _, s := range sequences {
		if err := a.b.DiscardTx(tx, refOf("s", s)); !errors.Is(err, bookmarkstore.ErrNotOutstanding) {
			a.t.Errorf("discard of %d in a transaction: %v, want ErrNotOutstanding", s, err)
		}
	}
}

func refOf(id string, sequence uint64) bookmarkstore.MessageRef {
	return bookmarkstore.MessageRef{Subscription: id, Bookmark: bookmarkstore.Bookmark{Publisher: 1, Sequence: sequence}}
}

// wantMemory compares the discarded point and the number of outstanding messages.
func (a *app) wantMemory(discarded uint64, outstanding int) {
	a.t.Helper()
	v, _ := a.Discarded()
	if v[1] != discarded || a.Outstanding() != outstanding {
		a.t.Errorf("discarded %d, outstanding %d, want %d, %d", v[1], a.Outstanding(), discarded, outstanding)
	}
}

// wantDisk compares the state that a process finds if this one is killed now: the discarded
// point, and which of the six messages are delivered again.
func (a *app) wantDisk(discarded uint64, again ...uint64) {
	a.t.Helper()
	path := filepath.Join(a.t.TempDir(), "copy.db")
	a.must(a.b.Snapshot(path))
	db, err := bbolt.Open(path, 0o600, nil)
	a.must(err)
	defer db.Close()
	b, err := bookmarkstore.OpenBoltIn(db, "marks", bookmarkstore.BoltOptions{})
	a.must(err)
	defer b.Close()
	s, err := b.OpenSubscription("s", orders)
	a.must(err)
	if v, known := s.Discarded(); !known || v[1] != discarded {
		a.t.Errorf("on disk: Discarded() = %v, %v, want %d", v, known, discarded)
	}
	got, want := map[uint64]bool{}, map[uint64]bool{}
	for q := range uint64(6) {
		if s.Receive(bookmarkstore.Bookmark{Publisher: 1, Sequence: q + 1}) {
			got[q+1] = true
		}
	}
	for _, q := range again {
		want[q] = true
	}
	if !maps.Equal(got, want) {
		a.t.Errorf("on disk: %v are delivered again, want %v", got, want)
	}
}

// noAutoCommit prevents commits of the committer during a test, except for Sync.
var noAutoCommit = bookmarkstore.BoltOptions{CommitInterval: 1 << 50}

func TestDiscardTxCommit(t *testing.T) {
	a := newApp(t, noAutoCommit)
	tx := a.begin()
	a.discardTx(tx, 1, 2, 4)
	a.wantMemory(0, 6)
	a.must(tx.Commit())
	a.wantMemory(2, 3)
	a.wantDisk(2, 3, 5, 6)
	a.must(a.Discard(refOf("", 3).Bookmark))
	a.must(a.b.Sync(context.Background()))
	a.wantMemory(4, 2)
	a.wantDisk(4, 5, 6)
}

// ForgetPublishers removes a publisher whose last message was discarded in a transaction. If a
// message of the publisher is discarded in a later transaction, the place names it again.
func TestDiscardTxForgets(t *testing.T) {
	a := newApp(t, noAutoCommit)
	tx := a.begin()
	a.discardTx(tx, 1, 2, 3, 4, 5, 6)
	a.must(tx.Commit())
	a.must(a.ForgetPublishers(bookmarkstore.Vector{1: 6}))
	a.must(a.b.Sync(context.Background()))
	a.wantDisk(0, 1, 2, 3, 4, 5, 6)
	if v, known := a.Discarded(); len(v) > 0 || !known {
		t.Errorf("place %v, %v", v, known)
	}
	a.Receive(bookmarkstore.Bookmark{Publisher: 1, Sequence: 7})
	a.must(a.Discard(refOf("", 7).Bookmark))
	a.must(a.ForgetPublishers(bookmarkstore.Vector{1: 7}))
	a.Receive(bookmarkstore.Bookmark{Publisher: 1, Sequence: 8})
	tx = a.begin()
	a.discardTx(tx, 8)
	a.must(tx.Commit())
	a.must(a.b.Sync(context.Background()))
	a.wantDisk(8)
}

func TestDiscardTxRollback(t *testing.T) {
	a := newApp(t, noAutoCommit)
	tx := a.begin()
	a.discardTx(tx, 1, 3)
	a.must(tx.Rollback())
	a.wantMemory(0, 6)
	a.wantDisk(0, 1, 2, 3, 4, 5, 6)

	tx = a.begin() // the next transaction starts without these discards
	a.discardTx(tx, 2)
	a.must(tx.Commit())
	a.wantMemory(0, 5)
	a.wantDisk(0, 1, 3, 4, 5, 6)
	tx = a.begin()
	a.discardTx(tx, 1)
	a.must(tx.Commit())
	a.wantMemory(2, 4)
	a.wantDisk(2, 3, 4, 5, 6)
}

func TestDiscardTxOutOfOrder(t *testing.T) {
	a := newApp(t, noAutoCommit)
	tx := a.begin()
	a.discardTx(tx, 5, 3, 2)
	a.wantNotOutstanding(tx, 2) // already discarded in this transaction
	a.discardTx(tx, 1)
	a.must(tx.Commit())
	a.wantMemory(3, 2)
	a.wantDisk(3, 4, 6)
}

// Discards outside of the transaction count within it. Once it has committed, they survive a kill.
func TestDiscardTxCountsDiscards(t *testing.T) {
	a := newApp(t, noAutoCommit)
	tx := a.begin()
	a.must(a.Discard(refOf("", 1).Bookmark))
	a.must(a.Discard(refOf("", 3).Bookmark))
	a.must(a.ReceiveMark(vec{1: 9}))
	a.discardTx(tx, 2)
	a.must(a.Discard(refOf("", 4).Bookmark)) // contiguous because of 2 and 3
	a.must(tx.Commit())
	a.wantMemory(4, 2)
	a.wantDisk(3, 4, 5, 6)
	a.must(a.b.Sync(context.Background()))
	a.wantDisk(4, 5, 6)
	tx = a.begin()
	a.discardTx(tx, 5, 6)
	a.must(tx.Commit())
	a.wantMemory(9, 0)
	a.wantDisk(9)
}

// The committer may write after the commit of the application and before the update of the windows.
// It must not undo the discards of the application.
func TestCommitKeepsDiscardTx(t *testing.T) {
	a := newApp(t, noAutoCommit)
	a.must(a.Discard(refOf("", 1).Bookmark))
	a.must(a.Discard(refOf("", 5).Bookmark))
	tx := a.begin()
	tx.OnCommit(func() {
		a.wantMemory(1, 4)
		a.must(a.b.Sync(context.Background()))
		a.wantDisk(3, 4, 6)
		next := a.begin() // another transaction may come first
		a.discardTx(next, 4)
		a.must(next.Commit())
		a.wantDisk(3, 6)
	})
	a.discardTx(tx, 2, 3)
	a.must(tx.Commit())
	a.wantMemory(5, 1)
	a.must(a.b.Sync(context.Background()))
	a.wantDisk(5, 6)
}

func TestDiscardTxAndRestart(t *testing.T) {
	for _, when := range []string{"before", "within", "after"} {
		t.Run(when, func(t *testing.T) {
			a := newApp(t, noAutoCommit)
			again := func() {
				a.must(a.Reset())
				for s := range uint64(6) {
					a.Receive(bookmarkstore.Bookmark{Publisher: 1, Sequence: s + 1})
				}
			}
			tx := a.begin()
			if when == "before" {
				a.discardTx(tx, 1, 2)
			}
			again()
			if when != "before" {
				a.discardTx(tx, 1, 3)
			}
			if when == "after" {
				again()
			}
			a.must(tx.Commit())
			if when == "within" {
				a.wantMemory(1, 4)
				a.wantDisk(1, 2, 4, 5, 6)
			} else {
				a.wantMemory(0, 6)
			}
			a.must(a.Discard(refOf("", 1).Bookmark))
			a.must(a.b.Sync(context.Background()))
			if when == "within" {
				a.wantDisk(1, 2, 4, 5, 6)
			} else {
				a.wantDisk(1, 2, 3, 4, 5, 6)
			}
		})
	}
}

func TestDiscardTxRollbackOfRestart(t *testing.T) {
	a := newApp(t, noAutoCommit)
	a.must(a.Discard(refOf("", 1).Bookmark))
	a.must(a.b.Sync(context.Background()))
	tx := a.begin()
	a.must(a.Reset())
	a.Receive(bookmarkstore.Bookmark{Publisher: 1, Sequence: 1})
	a.Receive(bookmarkstore.Bookmark{Publisher: 1, Sequence: 2})
	a.discardTx(tx, 2)
	a.must(tx.Rollback())
	a.must(a.Discard(refOf("", 2).Bookmark))
	a.must(a.b.Sync(context.Background()))
	a.wantDisk(0, 1, 3, 4, 5, 6)
}

// The id is released and taken again while a transaction is open.
func TestDiscardTxAndRelease(t *testing.T) {
	a := newApp(t, noAutoCommit)
	tx := a.begin()
	a.discardTx(tx, 1, 3)
	a.Release()
	s, err := a.b.OpenSubscription("s", orders)
	a.must(err)
	a.Subscription = s
	s.Receive(bookmarkstore.Bookmark{Publisher: 1, Sequence: 1})
	a.must(tx.Commit())
	a.wantMemory(1, 0)
	a.wantDisk(1, 2, 4, 5, 6)
	if !s.Receive(bookmarkstore.Bookmark{Publisher: 1, Sequence: 2}) {
		t.Error("2 was not discarded and is not delivered again")
	}
	if s.Receive(bookmarkstore.Bookmark{Publisher: 1, Sequence: 3}) {
		t.Error("3 was discarded in the transaction and is delivered again")
	}
}

func TestDiscardTxErrors(t *testing.T) {
	a := newApp(t, noAutoCommit)
	other := newApp(t, noAutoCommit)
	reading, err := a.db.Begin(false)
	a.must(err)
	defer reading.Rollback()
	tx, foreign := a.begin(), other.begin()
	for _, tt := range []struct {
		name string
		tx   *bbolt.Tx
		mark bookmarkstore.MessageRef
		want string
	}{
		{"a transaction of another database", foreign, refOf("s", 1), "of another database than " + a.path},
		{"a read transaction", reading, refOf("s", 1), "not writable"},
		{"an unknown subscription", tx, refOf("t", 1), `subscription "t"`},
	} {
		if err := a.b.DiscardTx(tt.tx, tt.mark); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
		}
	}
	a.wantNotOutstanding(tx, 7)
	a.must(a.b.DiscardTx(tx, bookmarkstore.MessageRef{Subscription: "s"})) // a message without bookmark
	a.must(tx.Commit())
	a.wantMemory(0, 6)
}

// A transaction must not commit if its work for a message was done before, or will be done when
// the message is delivered again.
func TestDiscardTxTwice(t *testing.T) {
	t.Run("discarded before", func(t *testing.T) {
		a := newApp(t, noAutoCommit)
		a.must(a.Discard(refOf("", 1).Bookmark))
		tx := a.begin()
		a.discardTx(tx, 2)
		a.must(tx.Commit())
		a.wantNotOutstanding(a.begin(), 1, 2)
	})
	t.Run("committed by a transaction whose OnCommit has not run", func(t *testing.T) {
		a := newApp(t, noAutoCommit)
		tx := a.begin()
		tx.OnCommit(func() { // runs before the store's own
			next := a.begin()
			a.wantNotOutstanding(next, 1, 3)
			a.discardTx(next, 2)
			a.must(next.Commit())
		})
		a.discardTx(tx, 1, 3)
		a.must(tx.Commit())
		a.wantMemory(3, 3)
		a.wantDisk(1, 4, 5, 6) // 2 and 3 are stored as out-of-order discards
	})
	t.Run("the id was opened again", func(t *testing.T) {
		a := newApp(t, noAutoCommit)
		a.Release()
		s, err := a.b.OpenSubscription("s", orders)
		a.must(err)
		a.wantNotOutstanding(a.begin(), 1)
		s.Receive(refOf("", 1).Bookmark)
	})
	t.Run("delivered again while the transaction was open", func(t *testing.T) {
		a := newApp(t, noAutoCommit)
		tx := a.begin()
		a.discardTx(tx, 1)
		a.Release()
		s, err := a.b.OpenSubscription("s", orders)
		a.must(err)
		s.Receive(refOf("", 1).Bookmark)
		a.must(tx.Commit())
		a.wantNotOutstanding(a.begin(), 1)
	})
}

// While the application has a write transaction open, only the calls that OpenBoltIn names wait.
func TestOpenTransactionDelaysNothingElse(t *testing.T) {
	a := newApp(t, bookmarkstore.BoltOptions{CommitInterval: 1, CommitThreshold: 1})
	tx := a.begin()
	for s := range uint64(6) {
		a.must(a.Discard(refOf("", s+1).Bookmark))
	}
	a.must(a.ReceiveMark(vec{1: 9}))
	other, err := a.b.OpenSubscription("other", orders)
	a.must(err)
	other.Receive(refOf("", 1).Bookmark)
	a.must(a.b.DiscardTx(tx, refOf("other", 1)))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := a.b.Sync(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Sync = %v, want canceled", err)
	}
	a.must(tx.Commit())
	a.must(a.b.Sync(context.Background()))
	a.wantDisk(9)
}

// Transactions that commit, transactions that roll back, plain discards and the committer run at
// the same time. The process may be killed at any moment.
func TestDiscardTxConcurrent(t *testing.T) {
	const messages = 300
	a := newApp(t, bookmarkstore.BoltOptions{CommitInterval: 1})
	s, err := a.b.OpenSubscription("busy", orders)
	a.must(err)
	a.must(s.SetBase(vec{}))
	for q := range uint64(messages) {
		s.Receive(refOf("", q+1).Bookmark)
	}
	var committed atomic.Uint64 // every sequence up to it with sequence%3 == 1 is committed
	var wg sync.WaitGroup
	wg.Go(func() {
		for q := uint64(3); q <= messages; q += 3 {
			if err := s.Discard(refOf("", q).Bookmark); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for q := uint64(1); q+3 < messages; q += 6 {
			if err := a.db.Update(func(tx *bbolt.Tx) error {
				return errors.Join(a.b.DiscardTx(tx, refOf("busy", q+3)), a.b.DiscardTx(tx, refOf("busy", q)))
			}); err != nil {
				t.Error(err)
			}
			committed.Store(q + 3)
			a.db.Update(func(tx *bbolt.Tx) error {
				return errors.Join(a.b.DiscardTx(tx, refOf("busy", q+1)), errors.New("roll back"))
			})
		}
	})
	for range 10 {
		before := committed.Load()
		a.wantNotAhead("busy", messages, before)
	}
	wg.Wait()
	a.must(a.b.Sync(context.Background()))
	a.wantNotAhead("busy", messages, committed.Load())
	if n := s.Outstanding(); n != messages/3 {
		t.Errorf("%d outstanding, want %d", n, messages/3)
	}
}

// wantNotAhead opens a copy of the database, as a new process would. It fails if a message is
// delivered again whose discard was committed, or is not delivered again if its discard was rolled
// back.
func (a *app) wantNotAhead(id string, messages, committed uint64) {
	a.t.Helper()
	path := filepath.Join(a.t.TempDir(), "copy.db")
	a.must(a.b.Snapshot(path))
	db, err := bbolt.Open(path, 0o600, nil)
	a.must(err)
	defer db.Close()
	b := mustOpenIn(a.t, db, "marks")
	defer b.Close()
	s, err := b.OpenSubscription(id, orders)
	a.must(err)
	for q := uint64(1); q <= messages; q++ {
		fresh := s.Receive(refOf("", q).Bookmark)
		if q%3 == 2 && !fresh {
			a.t.Fatalf("%d was rolled back and is not delivered again", q)
		}
		if q%3 == 1 && q <= committed && fresh {
			a.t.Fatalf("%d was committed (up to %d) and is delivered again", q, committed)
		}
	}
}
