package bookmarkstore

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// ErrNotStore means that the bucket holds no bookmark store.
var ErrNotStore = errors.New("not a bookmark store")

// An InspectedSubscription is one stored subscription.
type InspectedSubscription struct {
	ID    string
	Query Query
	// Discarded is the vector from which the subscription resumes when a process opens it. Known is
	// false if the subscription is new and begins at its configured start.
	Discarded Vector
	Known     bool
	// OutOfOrder lists discarded messages above Discarded. They are not delivered again either.
	OutOfOrder []Bookmark
	Damage     error // a *DamagedError, or nil; if set, only ID is known and the subscription cannot be opened
}

// InspectBolt reads the store in a bucket of a database, which may be opened read-only, and changes
// nothing. The bucket of OpenBolt is "bookmarks". A damaged subscription is reported in its
// InspectedSubscription. If the whole store is damaged, the error is a *DamagedError. If a later
// version has written the store or one subscription, it is a *VersionError.
func InspectBolt(db *bbolt.DB, bucket string) ([]InspectedSubscription, error) {
	b := &Bolt{db: db, path: db.Path(), bucket: []byte(bucket)}
	var all []InspectedSubscription
	err := db.View(func(tx *bbolt.Tx) error {
		root := tx.Bucket(b.bucket)
		if root == nil || !isStore(root) {
			return ErrNotStore
		}
		if root.Bucket(keySubscriptions) == nil {
			return nil // checkFormat returns the error
		}
		return root.Bucket(keySubscriptions).ForEachBucket(func(id []byte) error {
			s := b.inspect(root.Bucket(keySubscriptions).Bucket(id), string(id))
			if isVersionError(s.Damage) {
				return s.Damage
			}
			all = append(all, s)
			return nil
		})
	})
	if err == nil {
		_, err = b.checkFormat()
	}
	if err != nil {
		return nil, fmt.Errorf("inspect bookmark store %s, bucket %s: %w", b.path, bucket, err)
	}
	return all, nil
}

// inspect reads one stored subscription.
func (b *Bolt) inspect(bucket *bbolt.Bucket, id string) InspectedSubscription {
	var w window
	h, key, err := loadWindow(bucket, id, &w)
	if err != nil {
		return InspectedSubscription{ID: id, Damage: b.damagedError(id, key, err)}
	}
	s := InspectedSubscription{ID: id, Query: h.query}
	s.Discarded, s.Known = w.discardedVector()
	for _, p := range w.order {
		for _, sequence := range p.outOfOrder {
			s.OutOfOrder = append(s.OutOfOrder, Bookmark{Publisher: p.id, Sequence: sequence})
		}
	}
	return s
}
