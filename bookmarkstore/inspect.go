package bookmarkstore

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// ErrNotStore reports a bucket that holds something else.
var ErrNotStore = errors.New("not a bookmark store")

// An Inspected is one subscription as it is kept in a store.
type Inspected struct {
	ID    string
	Query Query
	// Discarded is where the subscription goes on when a process opens it;
	// known is false if it begins where it is told to.
	Discarded Vector
	Known     bool
	// OutOfOrder are messages above Discarded that do not come again either.
	OutOfOrder []Bookmark
	Damage     error // a *DamagedError: it can't be opened, nothing else is known of it
}

// InspectBolt reads the store in a bucket of a database, which may be open for
// reading only, and changes nothing. OpenBolt's bucket is "bookmarks".
// Damage of a subscription is no error; that of the whole store is a *DamagedError.
// What a later version has written, be it one subscription, is a *VersionError.
func InspectBolt(db *bbolt.DB, bucket string) ([]Inspected, error) {
	b := &Bolt{db: db, path: db.Path(), bucket: []byte(bucket)}
	var all []Inspected
	err := db.View(func(tx *bbolt.Tx) error {
		root := tx.Bucket(b.bucket)
		if root == nil || !isStore(root) {
			return ErrNotStore
		}
		if root.Bucket(keySubscriptions) == nil {
			return nil // check says so
		}
		return root.Bucket(keySubscriptions).ForEachBucket(func(id []byte) error {
			s := b.inspect(root.Bucket(keySubscriptions).Bucket(id), string(id))
			if isNewer(s.Damage) {
				return s.Damage
			}
			all = append(all, s)
			return nil
		})
	})
	if err == nil {
		_, err = b.check()
	}
	if err != nil {
		return nil, fmt.Errorf("inspect bookmark store %s, bucket %s: %w", b.path, bucket, err)
	}
	return all, nil
}

// inspect reads what is kept of one subscription.
func (b *Bolt) inspect(bucket *bbolt.Bucket, id string) Inspected {
	var w window
	h, key, err := load(bucket, id, &w)
	if err != nil {
		return Inspected{ID: id, Damage: b.damaged(id, key, err)}
	}
	s := Inspected{ID: id, Query: h.query}
	s.Discarded, s.Known = w.discardedVector()
	for _, p := range w.order {
		for _, sequence := range p.elsewhere {
			s.OutOfOrder = append(s.OutOfOrder, Bookmark{Publisher: p.id, Sequence: sequence})
		}
	}
	return s
}
