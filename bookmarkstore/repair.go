package bookmarkstore

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/boltfile"
)

// A Repaired is a subscription of which something could not be read.
type Repaired struct {
	ID string
	// Dropped is how many values were removed. Messages whose discards they
	// noted come again.
	Dropped int
	// Gone: nothing of it could be kept. It begins as a new one, where it is told to.
	Gone bool
}

// RepairBolt makes the store in a bucket one that can be opened: values that
// are not what was written are removed, all others stay. Nothing is guessed, so
// messages may come again, and none is left out but where a subscription is
// gone and then begins behind some. Nobody may have the store open. ErrNotStore:
// the bucket holds something else.
func RepairBolt(db *bbolt.DB, bucket string) ([]Repaired, error) {
	var all []Repaired
	b := &Bolt{db: db, path: db.Path(), bucket: []byte(bucket)}
	err := b.update(func(tx *bbolt.Tx) (err error) {
		root := tx.Bucket(b.bucket)
		if root == nil || !isStore(root) {
			return ErrNotStore
		}
		all, err = repairStore(root)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("repair bookmark store %s, bucket %s: %w", b.path, bucket, err)
	}
	return all, nil
}

// isStore reports whether a bucket is that of a store, also of one that lacks
// one of the two things that make it one: somebody else's bucket may well have
// a "format", or "subscriptions".
func isStore(root *bbolt.Bucket) bool {
	format, subscriptions := root.Get(keyFormat), root.Bucket(keySubscriptions)
	switch {
	case subscriptions == nil:
		return len(format) == 1 && format[0] == formatVersion && root.Stats().KeyN == 1
	case len(format) == 1:
		return true
	}
	ours := false
	_ = subscriptions.ForEachBucket(func(id []byte) error { // never an error
		_, err := decodeHead(string(id), subscriptions.Bucket(id).Get(keyHead))
		ours = ours || err == nil
		return nil
	})
	return ours
}

func repairStore(root *bbolt.Bucket) (all []Repaired, err error) {
	switch format := root.Get(keyFormat); {
	case len(format) != 1:
		err = root.Put(keyFormat, []byte{formatVersion})
	case format[0] != formatVersion:
		err = newerFormat("it", format[0])
	}
	if err != nil {
		return nil, err
	}
	subscriptions, err := root.CreateBucketIfNotExists(keySubscriptions)
	if err != nil {
		return nil, err
	}
	var ids []string
	err = subscriptions.ForEachBucket(func(id []byte) error {
		ids = append(ids, string(id))
		return nil
	})
	for _, id := range ids {
		r := Repaired{ID: id}
		if err == nil {
			err = r.repair(subscriptions)
		}
		if r.Gone || r.Dropped > 0 {
			all = append(all, r)
		}
	}
	return all, err
}

// repair removes what can't be read of a subscription, or all of it.
func (r *Repaired) repair(subscriptions *bbolt.Bucket) error {
	bucket := subscriptions.Bucket([]byte(r.ID))
	h, err := decodeHead(r.ID, bucket.Get(keyHead))
	good, bad, newer := examine(bucket, r.ID)
	if newer != nil {
		return newer
	}
	// Without a base and a place it would seem to be a new one, and is.
	if err != nil || len(bad) > 0 && good == 0 && !h.based {
		r.Gone = true
		return subscriptions.DeleteBucket([]byte(r.ID))
	}
	r.Dropped = len(bad)
	var errs []error
	for _, key := range bad {
		errs = append(errs, boltfile.Remove(bucket, key))
	}
	return errors.Join(errs...)
}

// examine counts what can be read of a subscription, and returns the keys of
// what can't. What a newer program wrote is an error, and not for us to judge.
func examine(bucket *bbolt.Bucket, id string) (good int, bad [][]byte, err error) {
	kept := func(Bookmark) { good++ }
	err = bucket.ForEach(func(key, value []byte) error {
		err := loadValue(id, key, value, kept, kept)
		if string(key) == string(keyHead) {
			_, err = decodeHead(id, value)
		}
		switch {
		case isNewer(err):
			return fmt.Errorf("subscription %q: %w", id, err)
		case err != nil:
			bad = append(bad, slices.Clone(key))
		}
		return nil
	})
	return good, bad, err
}
