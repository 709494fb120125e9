package bookmarkstore

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/boltfile"
)

// A RepairedSubscription is a subscription with unreadable values.
type RepairedSubscription struct {
	ID string
	// Dropped is the number of values removed. If a removed value was a discard, its message is
	// delivered again.
	Dropped int
	// Gone is true if nothing was readable. The subscription starts as a new one, at its
	// configured start.
	Gone bool
}

// RepairBolt repairs a damaged store so that it can be opened. It removes unreadable values and
// keeps all others. It guesses nothing, so messages may be delivered again. A subscription misses
// messages only if it is Gone and its configured start is after them. No process may have the
// store open. The error is ErrNotStore if the bucket holds something else.
func RepairBolt(db *bbolt.DB, bucket string) ([]RepairedSubscription, error) {
	var all []RepairedSubscription
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

// isStore reports whether a bucket belongs to a store, even if its "format" or its "subscriptions"
// are missing. One of these keys alone proves little: a bucket of another owner may have it, too.
func isStore(root *bbolt.Bucket) bool {
	format, subscriptions := root.Get(keyFormat), root.Bucket(keySubscriptions)
	switch {
	case subscriptions == nil:
		return len(format) == 1 && format[0] == formatVersion && root.Stats().KeyN == 1
	case len(format) == 1:
		return true
	}
	found := false
	_ = subscriptions.ForEachBucket(func(id []byte) error { // never an error
		_, err := decodeHead(string(id), subscriptions.Bucket(id).Get(keyHead))
		found = found || err == nil
		return nil
	})
	return found
}

func repairStore(root *bbolt.Bucket) (all []RepairedSubscription, err error) {
	switch format := root.Get(keyFormat); {
	case len(format) != 1:
		err = root.Put(keyFormat, []byte{formatVersion})
	case format[0] != formatVersion:
		err = versionError("it", format[0])
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
		r := RepairedSubscription{ID: id}
		if err == nil {
			err = r.repair(subscriptions)
		}
		if r.Gone || r.Dropped > 0 {
			all = append(all, r)
		}
	}
	return all, err
}

// repair removes the unreadable values of a subscription, or the whole subscription.
func (r *RepairedSubscription) repair(subscriptions *bbolt.Bucket) error {
	bucket := subscriptions.Bucket([]byte(r.ID))
	h, err := decodeHead(r.ID, bucket.Get(keyHead))
	readable, unreadable, newer := scanValues(bucket, r.ID)
	if newer != nil {
		return newer
	}
	// Without a base and a discarded point the subscription would look like a new one: make it one.
	if err != nil || len(unreadable) > 0 && readable == 0 && !h.hasBase {
		r.Gone = true
		return subscriptions.DeleteBucket([]byte(r.ID))
	}
	r.Dropped = len(unreadable)
	var errs []error
	for _, key := range unreadable {
		errs = append(errs, boltfile.Remove(bucket, key))
	}
	return errors.Join(errs...)
}

// scanValues counts the readable values of a subscription and returns the keys of the others. A
// value of a later version is an error, since this version cannot judge it.
func scanValues(bucket *bbolt.Bucket, id string) (readable int, unreadable [][]byte, err error) {
	count := func(Bookmark) { readable++ }
	err = bucket.ForEach(func(key, value []byte) error {
		err := loadValue(id, key, value, count, count)
		if string(key) == string(keyHead) {
			_, err = decodeHead(id, value)
		}
		switch {
		case isVersionError(err):
			return fmt.Errorf("subscription %q: %w", id, err)
		case err != nil:
			unreadable = append(unreadable, slices.Clone(key))
		}
		return nil
	})
	return readable, unreadable, err
}
