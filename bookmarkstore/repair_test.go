package bookmarkstore_test

import (
	"errors"
	"reflect"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
)

// RepairBolt keeps the readable part of a damaged subscription, and discards nothing that was not
// discarded. A second repair finds nothing to do.
func TestRepairBolt(t *testing.T) {
	for _, tt := range []struct {
		name   string
		harm   func(root, s *bbolt.Bucket) error
		want   []bookmarkstore.RepairedSubscription
		resume string // discarded vector of "s"; 1|2 was discarded, and 1|5 out of order
		done   int
	}{
		{"nothing", func(root, s *bbolt.Bucket) error { return nil }, nil, "1|2|", 1},
		{"a discarded point", func(root, s *bbolt.Bucket) error { return s.Put(key(1), []byte("x")) }, []bookmarkstore.RepairedSubscription{{ID: "s", Dropped: 1}}, "0", 1},
		{"a message out of order", func(root, s *bbolt.Bucket) error { return s.Put(key(1, 5), nil) }, []bookmarkstore.RepairedSubscription{{ID: "s", Dropped: 1}}, "1|2|", 0},
		{"other things", func(root, s *bbolt.Bucket) error {
			_, err := s.CreateBucket(key(7))
			return errors.Join(err, s.Put([]byte("hood"), []byte("x")), s.Put(key(9), s.Get(key(1))))
		}, []bookmarkstore.RepairedSubscription{{ID: "s", Dropped: 3}}, "1|2|", 1},
		{"the head", func(root, s *bbolt.Bucket) error { return s.Put([]byte("head"), []byte("x")) }, []bookmarkstore.RepairedSubscription{{ID: "s", Gone: true}}, "", 0},
		{"no head", func(root, s *bbolt.Bucket) error { return s.Delete([]byte("head")) }, []bookmarkstore.RepairedSubscription{{ID: "s", Gone: true}}, "", 0},
		{"the format", func(root, s *bbolt.Bucket) error { return root.Delete([]byte("format")) }, nil, "1|2|", 1},
		{"the subscriptions", func(root, s *bbolt.Bucket) error { return root.DeleteBucket([]byte("subscriptions")) }, nil, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filledDatabase(t)
			edit(t, path, tt.harm)
			if got := repair(t, path); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("repaired %+v, want %+v", got, tt.want)
			}
			if again := repair(t, path); again != nil {
				t.Errorf("repaired again %+v", again)
			}
			b := openBolt(t, path, bookmarkstore.BoltOptions{})
			s, err := b.OpenSubscription("s", orders)
			if err != nil {
				t.Fatal(err)
			}
			v, known := s.Discarded()
			if known != (tt.resume != "") || known && v.String() != tt.resume {
				t.Errorf("Discarded() = %v, %v, want %q", v, known, tt.resume)
			}
			if fresh := s.Receive(bookmarkstore.Bookmark{Publisher: 1, Sequence: 5}); fresh == (tt.done > 0) {
				t.Errorf("the message discarded out of order is delivered again: %v", fresh)
			}
		})
	}
}

func repair(t *testing.T, path string) []bookmarkstore.RepairedSubscription {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all, err := bookmarkstore.RepairBolt(db, "bookmarks")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A repair does not remove data of a newer program or of another owner.
func TestRepairLeavesOthersAlone(t *testing.T) {
	path := filledDatabase(t)
	edit(t, path, func(root, _ *bbolt.Bucket) error { return root.Put([]byte("format"), []byte{2}) })
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := bookmarkstore.RepairBolt(db, "bookmarks"); err == nil || errors.Is(err, bookmarkstore.ErrNotStore) {
		t.Errorf("version 2: %v", err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		other, err := tx.CreateBucket([]byte("mine"))
		if err != nil {
			return err
		}
		subscriptions, err := other.CreateBucket([]byte("subscriptions"))
		if err != nil {
			return err
		}
		_, err = subscriptions.CreateBucket([]byte("newsletter"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bookmarkstore.RepairBolt(db, "mine"); !errors.Is(err, bookmarkstore.ErrNotStore) {
		t.Errorf("an application's own bucket: %v", err)
	}
	if _, err := bookmarkstore.RepairBolt(db, "other"); !errors.Is(err, bookmarkstore.ErrNotStore) {
		t.Errorf("no bucket: %v", err)
	}
}
