package pubstore_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/pubstore/pubstoretest"
)

func boot(name string) func() (string, error) {
	return func() (string, error) { return name, nil }
}

// A boltDisk is a database with a store: the store's own database, or a shared one.
type boltDisk struct {
	path    string
	shared  bool
	options pubstore.BoltOptions
	db      map[pubstore.Store]*bbolt.DB
	copies  int
}

func (p *boltDisk) open(t *testing.T) pubstore.Store {
	t.Helper()
	db := openDB(t, p.path)
	if !p.shared {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		s, err := pubstore.OpenBolt(p.path, p.options)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s, err := pubstore.OpenBoltIn(db, "outbox", p.options)
	if err != nil {
		t.Fatal(err)
	}
	p.db[s] = db
	return s
}

// openDB opens a database that does not sync. Tests of kills do not need the sync.
func openDB(t testing.TB, path string) *bbolt.DB {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, NoGrowSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func boltHarness(t *testing.T) pubstoretest.Harness {
	p := &boltDisk{shared: true, db: map[pubstore.Store]*bbolt.DB{}}
	dir := t.TempDir()
	return pubstoretest.Harness{
		Open: func(t *testing.T, o pubstoretest.Options) pubstore.Store {
			p.copies++
			p.path = filepath.Join(dir, fmt.Sprint(p.copies, ".db"))
			p.options = pubstore.BoltOptions{
				MaxMessages: o.MaxMessages, MaxBytes: o.MaxBytes, FailWhenFull: o.FailWhenFull, BootID: boot("first"),
			}
			return p.open(t)
		},
		Reopen: func(t *testing.T, s pubstore.Store) pubstore.Store {
			p.db[s].Close()
			return p.open(t)
		},
		Kill: func(t *testing.T, s pubstore.Store, rebooted bool) pubstore.Store {
			p.copies++
			p.path = filepath.Join(dir, fmt.Sprint(p.copies, ".db"))
			err := p.db[s].View(func(tx *bbolt.Tx) error { return tx.CopyFile(p.path, 0o600) })
			if err != nil {
				t.Fatal(err)
			}
			if rebooted {
				p.options.BootID = boot("second")
			}
			return p.open(t)
		},
	}
}

func TestBolt(t *testing.T) { pubstoretest.Run(t, boltHarness) }

func TestOpenBolt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "publish.db")
	s, err := pubstore.OpenBolt(path, pubstore.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, s, 3)
	if _, err := pubstore.OpenBolt(path, pubstore.BoltOptions{}); !errors.Is(err, pubstore.ErrLocked) {
		t.Fatalf("opening it a second time: %v, want ErrLocked", err)
	}
	life := s.Lives()[0]
	closeStore(t, s)
	s, err = pubstore.OpenBolt(path, pubstore.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	if got := s.Lives()[0]; got != life {
		t.Fatalf("life is %+v, was %+v", got, life)
	}
}

func publish(t testing.TB, s pubstore.Store, n int) {
	t.Helper()
	for range n {
		if _, err := s.Append(context.Background(), &pubstore.Message{Topic: "orders", Body: []byte("body")}); err != nil {
			t.Fatal(err)
		}
	}
}

func closeStore(t testing.TB, s pubstore.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func sequences(t testing.TB, s pubstore.Store, life string) (seqs []uint64) {
	t.Helper()
	c, err := s.Cursor(life, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for {
		var m pubstore.Message
		ok, err := c.Next(&m)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return seqs
		}
		seqs = append(seqs, m.Sequence)
	}
}

func openShared(t *testing.T, o pubstore.BoltOptions) (*bbolt.DB, *pubstore.Bolt) {
	t.Helper()
	db := openDB(t, filepath.Join(t.TempDir(), "app.db"))
	s, err := pubstore.OpenBoltIn(db, "outbox", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return db, s
}

var errRollback = errors.New("the application rolls back")

func TestBoltAppendTx(t *testing.T) {
	db, s := openShared(t, pubstore.BoltOptions{})
	life := s.Lives()[0].ID
	add := func(n int, want uint64, end error) {
		t.Helper()
		err := db.Update(func(tx *bbolt.Tx) error {
			for i := range n {
				seq, err := s.AppendTx(tx, "orders", []byte("body"))
				if err != nil || seq != want+uint64(i) {
					t.Fatalf("AppendTx = %d, %v; want %d", seq, err, want+uint64(i))
				}
			}
			return end
		})
		if !errors.Is(err, end) {
			t.Fatal(err)
		}
	}
	add(2, 1, nil)
	<-s.Appended()
	add(3, 3, errRollback)
	add(1, 3, errRollback)
	if l := s.Lives()[0]; l.Last != 2 || l.Kept != 2 {
		t.Fatalf("life is %+v after two rollbacks, want 2 messages", l)
	}
	add(2, 3, nil)
	publish(t, s, 1)
	add(1, 6, errRollback)
	publish(t, s, 1)
	add(1, 7, nil)
	if got := sequences(t, s, life); len(got) != 7 {
		t.Fatalf("the store keeps %v, want 1 to 7", got)
	}
	if l := s.Lives()[0]; l.Last != 7 || l.Kept != 7 {
		t.Fatalf("life is %+v, want 7 messages", l)
	}
}

func TestBoltAppendTxFull(t *testing.T) {
	db, s := openShared(t, pubstore.BoltOptions{MaxMessages: 3})
	publish(t, s, 1)
	err := db.Update(func(tx *bbolt.Tx) error {
		for range 2 {
			if _, err := s.AppendTx(tx, "orders", nil); err != nil {
				return err
			}
		}
		_, err := s.AppendTx(tx, "orders", nil)
		return err
	})
	if !errors.Is(err, pubstore.ErrFull) {
		t.Fatalf("AppendTx beyond the bound: %v", err)
	}
	publish(t, s, 2) // the rollback has freed the room
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { _, err := s.AppendTx(tx, "orders", nil); return err })
	if !errors.Is(err, pubstore.ErrClosed) {
		t.Fatalf("AppendTx on a closed store: %v", err)
	}
}

// An application that gets ErrFull in a transaction can wait for room after it.
func TestBoltAwaitRoom(t *testing.T) {
	db, s := openShared(t, pubstore.BoltOptions{MaxMessages: 2, MaxBytes: 100, FailWhenFull: true})
	add := func() error {
		return db.Update(func(tx *bbolt.Tx) error {
			_, err := s.AppendTx(tx, "orders", []byte("body"))
			return err
		})
	}
	for range 2 {
		if err := cmp.Or(s.AwaitRoom(t.Context(), 10), add()); err != nil {
			t.Fatal(err)
		}
	}
	if err := add(); !errors.Is(err, pubstore.ErrFull) {
		t.Fatalf("the third: %v, want ErrFull", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error)
	go func() { waited <- s.AwaitRoom(ctx, 10) }()
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	go func() { waited <- s.AwaitRoom(t.Context(), 10) }()
	if err := s.Discard(s.Lives()[0].ID, 1); err != nil {
		t.Fatal(err)
	}
	if err := cmp.Or(<-waited, add()); err != nil {
		t.Fatal(err)
	}
	if err := s.AwaitRoom(t.Context(), 101); !errors.As(err, new(*pubstore.TooLargeError)) {
		t.Errorf("a message larger than the store: %v", err)
	}
	closeStore(t, s)
	if err := s.AwaitRoom(t.Context(), 10); !errors.Is(err, pubstore.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// TestBoltTxConcurrent runs transactions that commit or roll back at the same time as appends and
// renewals.
func TestBoltTxConcurrent(t *testing.T) {
	db, s := openShared(t, pubstore.BoltOptions{})
	var wg sync.WaitGroup
	const each = 40
	for g := range 3 {
		wg.Go(func() {
			for n := range each {
				end := errRollback
				if n%3 > 0 {
					end = nil
				}
				err := db.Update(func(tx *bbolt.Tx) error {
					for range g {
						if _, err := s.AppendTx(tx, "orders", []byte("tx")); err != nil {
							return err
						}
					}
					return end
				})
				if !errors.Is(err, end) {
					t.Errorf("transaction: %v", err)
				}
			}
		})
	}
	wg.Go(func() {
		for n := range each {
			publish(t, s, 1)
			if n%10 == 0 {
				if err := s.Renew(); err != nil {
					t.Errorf("Renew: %v", err)
				}
			}
		}
	})
	wg.Wait()
	total := 0
	for _, l := range s.Lives() {
		seqs := sequences(t, s, l.ID)
		if len(seqs) != int(l.Last) || len(seqs) != l.Kept {
			t.Errorf("life %+v keeps %d", l, len(seqs))
		}
		total += len(seqs)
	}
	const committed = each - (each+2)/3
	if want := each + 3*committed; total != want {
		t.Errorf("the store keeps %d messages, want %d", total, want)
	}
}

func TestBoltWrongTx(t *testing.T) {
	db, s := openShared(t, pubstore.BoltOptions{})
	other := openDB(t, filepath.Join(t.TempDir(), "other.db"))
	for name, run := range map[string]func(func(*bbolt.Tx) error) error{"read-only": db.View, "another database": other.Update} {
		err := run(func(tx *bbolt.Tx) error { _, err := s.AppendTx(tx, "orders", nil); return err })
		if err == nil {
			t.Errorf("AppendTx in a transaction that is %s: no error", name)
		}
	}
}

// If the application removes the store's bucket, the next calls return an error that says so.
func TestBoltBucketRemoved(t *testing.T) {
	db, s := openShared(t, pubstore.BoltOptions{})
	err := db.Update(func(tx *bbolt.Tx) error {
		if err := tx.DeleteBucket([]byte("outbox")); err != nil {
			return err
		}
		_, err := s.AppendTx(tx, "orders", nil)
		return err
	})
	wantError(t, err, `bucket "outbox" was removed`)
	publish(t, s, 1) // the removal was rolled back
	if err := db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("outbox")) }); err != nil {
		t.Fatal(err)
	}
	_, err = s.Append(t.Context(), &pubstore.Message{Topic: "orders"})
	wantError(t, err, `bucket "outbox" was removed`)
}

// A rollback uses no sequence and does not signal Appended. A commit does, and the next message
// read is the committed one.
func TestBoltTxSignals(t *testing.T) {
	db, s := openShared(t, pubstore.BoltOptions{})
	add := func(end error) {
		t.Helper()
		err := db.Update(func(tx *bbolt.Tx) error {
			_, err := s.AppendTx(tx, "orders", nil)
			return errors.Join(err, end)
		})
		if !errors.Is(err, end) {
			t.Fatal(err)
		}
	}
	add(errRollback)
	add(errRollback)
	if err := db.Update(func(*bbolt.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Appended():
		t.Error("Appended after a rollback")
	default:
	}
	add(nil)
	<-s.Appended()
	if l := s.Lives()[0]; l.Last != 1 || l.Kept != 1 {
		t.Errorf("life is %+v, want one message", l)
	}
}

// TestBoltFailed closes the database while the store is open.
func TestBoltFailed(t *testing.T) {
	db, s := openShared(t, pubstore.BoltOptions{})
	publish(t, s, 1)
	life := s.Lives()[0].ID
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var failed *pubstore.FailedError
	_, err := s.Append(t.Context(), &pubstore.Message{Topic: "orders"})
	if !errors.As(err, &failed) {
		t.Fatalf("Append without a database: %v", err)
	}
	if err := s.Discard(life, 1); !errors.As(err, &failed) {
		t.Fatalf("Discard on a failed store: %v", err)
	}
	if err := s.Close(); !errors.As(err, &failed) {
		t.Fatalf("Close of a failed store: %v", err)
	}
}
