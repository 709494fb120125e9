package pubstore_test

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A sharedDatabase has an application's own data, its publish store and its bookmark store with one
// subscription.
type sharedDatabase struct {
	t         *testing.T
	db        *bbolt.DB
	outbox    *pubstore.Bolt
	bookmarks *bookmarkstore.Bolt
	sub       bookmarkstore.Subscription
}

const sharedMessages = 200 // from each of three publishers

var handled = []byte("handled") // the application's bucket, with a key for each handled message

func openSharedDatabase(t *testing.T, path string) *sharedDatabase {
	t.Helper()
	s := &sharedDatabase{t: t, db: openDB(t, path)}
	var err error
	s.outbox, err = pubstore.OpenBoltIn(s.db, "outbox", pubstore.BoltOptions{BootID: boot("first")})
	s.must(err)
	s.bookmarks, err = bookmarkstore.OpenBoltIn(s.db, "marks", bookmarkstore.BoltOptions{CommitInterval: 1})
	s.must(err)
	t.Cleanup(func() { s.outbox.Close(); s.bookmarks.Close() })
	s.sub, err = s.bookmarks.OpenSubscription("s", bookmarkstore.Query{Topic: "orders"})
	s.must(err)
	return s
}

func (s *sharedDatabase) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// receive receives the messages that are not discarded, as a server sends them, and returns them.
func (s *sharedDatabase) receive() []bookmarkstore.Bookmark {
	var fresh []bookmarkstore.Bookmark
	for q := range uint64(sharedMessages) {
		for p := range uint64(3) {
			b := bookmarkstore.Bookmark{Publisher: p + 1, Sequence: q + 1}
			if s.sub.Receive(b) {
				fresh = append(fresh, b)
			}
		}
	}
	return fresh
}

// handle does the whole work for a message in one transaction, which returns result.
func (s *sharedDatabase) handle(in func(func(*bbolt.Tx) error) error, b bookmarkstore.Bookmark, result error) error {
	return in(func(tx *bbolt.Tx) error {
		handledBucket, err := tx.CreateBucketIfNotExists(handled)
		if err != nil {
			return err
		}
		if err := handledBucket.Put([]byte(b.String()), nil); err != nil {
			return err
		}
		if _, err := s.outbox.AppendTx(tx, "invoices", []byte(b.String())); err != nil {
			return err
		}
		ref := bookmarkstore.MessageRef{Subscription: "s", Bookmark: b}
		return errors.Join(s.bookmarks.DiscardTx(tx, ref), result)
	})
}

// check compares the handled and the published messages. It returns the number of handled ones.
func (s *sharedDatabase) check() int {
	s.t.Helper()
	var handledKeys, published []string
	s.must(s.db.View(func(tx *bbolt.Tx) error {
		if tx.Bucket(handled) == nil {
			return nil
		}
		return tx.Bucket(handled).ForEach(func(key, _ []byte) error { handledKeys = append(handledKeys, string(key)); return nil })
	}))
	for _, life := range s.outbox.Lives() {
		c, err := s.outbox.Cursor(life.ID, 0)
		s.must(err)
		for m := new(pubstore.Message); ; {
			more, err := c.Next(m)
			s.must(err)
			if !more {
				break
			}
			if m.Topic == "invoices" {
				published = append(published, string(m.Body))
			}
		}
	}
	slices.Sort(handledKeys)
	slices.Sort(published)
	if !slices.Equal(handledKeys, published) {
		s.t.Errorf("the %d handled and the %d published messages differ", len(handledKeys), len(published))
	}
	return len(handledKeys)
}

// Many transactions run at the same time as the commits of both stores; some are batched and some
// roll back. Whenever the process is killed, a message is handled, published and discarded, or none
// of the three.
func TestSharedDatabase(t *testing.T) {
	dir := t.TempDir()
	s := openSharedDatabase(t, filepath.Join(dir, "app.db"))
	s.db.MaxBatchDelay = time.Millisecond
	s.must(s.sub.SetBase(bookmarkstore.Vector{}))
	todo := make(chan bookmarkstore.Bookmark, 3*sharedMessages)
	for _, b := range s.receive() {
		todo <- b
	}
	close(todo)
	var wg sync.WaitGroup
	defer wg.Wait()
	for worker := range uint64(4) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, worker))
			for b := range todo {
				in := []func(func(*bbolt.Tx) error) error{s.db.Update, s.db.Batch}[rnd.IntN(2)]
				if rnd.IntN(4) == 0 {
					if err := s.handle(in, b, errRollback); !errors.Is(err, errRollback) {
						t.Errorf("rolled back: %v", err)
					}
				}
				if err := s.handle(in, b, nil); err != nil {
					t.Errorf("handle %v: %v", b, err)
				}
				if err := s.handle(in, b, nil); !errors.Is(err, bookmarkstore.ErrNotOutstanding) {
					t.Errorf("handle %v twice: %v", b, err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 50 {
			publish(t, s.outbox, 1)
		}
		if err := s.outbox.Renew(); err != nil {
			t.Errorf("Renew: %v", err)
		}
	})
	for n := range 8 {
		s.checkAfterKill(filepath.Join(dir, string(rune('a'+n))))
	}
	wg.Wait()
	if n := s.check(); n != 3*sharedMessages || s.sub.Outstanding() != 0 {
		t.Errorf("%d messages handled, want %d; %d outstanding", n, 3*sharedMessages, s.sub.Outstanding())
	}
}

// checkAfterKill checks the state that the next process finds if this one is killed now.
func (s *sharedDatabase) checkAfterKill(path string) {
	s.t.Helper()
	s.must(s.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(path, 0o600) }))
	next := openSharedDatabase(s.t, path)
	done := next.check()
	redelivered := next.receive()
	if done+len(redelivered) != 3*sharedMessages {
		s.t.Errorf("%d messages are handled and %d are delivered again, of %d", done, len(redelivered), 3*sharedMessages)
	}
	for _, b := range redelivered {
		if err := next.handle(next.db.Update, b, nil); err != nil {
			s.t.Fatalf("handle %v after a restart: %v", b, err)
		}
	}
	if n := next.check(); n != 3*sharedMessages {
		s.t.Errorf("%d messages handled after a restart, want %d", n, 3*sharedMessages)
	}
}
