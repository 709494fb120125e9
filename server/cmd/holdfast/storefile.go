package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/boltfile"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// openStoreFile opens the database of a store, or makes it. The first bucket is the
// store's. A database that holds something else is refused.
func openStoreFile(path, kind string, buckets ...string) (*bbolt.DB, error) {
	db, err := boltfile.OpenPrivate(path, boltfile.Options{Timeout: 250 * time.Millisecond, Buckets: buckets})
	if err != nil {
		return nil, storeFileError(path, err)
	}
	if err := checkBuckets(db, kind, buckets); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// storeFileError adds advice for the user to an error of opening a database.
func storeFileError(path string, err error) error {
	damage, damaged := errors.AsType[*boltfile.DamageError](err)
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return &exitError{exitInUse, fmt.Errorf("--store %s is in use by a running process: stop that process, or name another store", path)}
	case errors.Is(err, fs.ErrNotExist):
		return usageErrorf("--store %s: the directory %s does not exist", path, filepath.Dir(path))
	case errors.Is(err, fs.ErrPermission):
		return &exitError{exitFailed, fmt.Errorf("--store %s: %w: run the command as the user that owns it", path, fs.ErrPermission)}
	case isDirectory(path):
		return usageErrorf("--store %s is a directory: name a file, which is created if missing (holdfast store inspect shows a file store)", path)
	case damaged && errors.Is(damage.Err, bbolterrors.ErrInvalid):
		return usageErrorf("--store %s is not a store (not a bbolt database): name another file, or one that does not exist yet", path)
	case damaged:
		return &exitError{exitFault, fmt.Errorf("--store %s is damaged: %w; use holdfast store repair, or name another store", path, damage.Err)}
	}
	return fmt.Errorf("--store %s: %w", path, err)
}

// storeError adds advice for the user to an error of opening a store.
func storeError(path string, err error) error {
	publish, isPublish := errors.AsType[*pubstore.DamagedError](err)
	marks, isMarks := errors.AsType[*bookmarkstore.DamagedError](err)
	switch {
	case err == nil:
		return nil
	case isPublish:
		return &exitError{exitFault, fmt.Errorf("%w: use holdfast store repair, or name another --store", publish)}
	case isMarks:
		return &exitError{exitFault, fmt.Errorf("%w: use holdfast store repair, restore a backup, or name another --store", marks)}
	}
	return fmt.Errorf("--store %s: %w", path, err)
}

func isDirectory(path string) bool { return checkDirectory(path) == nil }

// checkBuckets refuses a database that has buckets, but none of ours.
func checkBuckets(db *bbolt.DB, kind string, ours []string) error {
	names, err := bucketNames(db)
	own := slices.ContainsFunc(names, func(name string) bool { return slices.Contains(ours, name) })
	if err == nil && !own && len(names) > 0 {
		err = usageErrorf("--store %s is not a %s but holds something else (%s): name another file, or one that does not exist yet",
			db.Path(), kind, quoteList(names))
	}
	return err
}

// bucketNames returns the names of a database's buckets.
func bucketNames(db *bbolt.DB) (names []string, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
			names = append(names, string(name))
			return nil
		})
	})
	return names, err
}

// updateBolt calls do in one transaction that changes a database.
func updateBolt(db *bbolt.DB, do func(*bbolt.Tx) error) error {
	return boltfile.Guard(db.Path(), func() error { return db.Update(do) })
}

// A boltEntry is a value that a command keeps beside a store in its database.
type boltEntry struct{ bucket, key string }

// get returns the value, nil if there is none.
func (e boltEntry) get(db *bbolt.DB) (value []byte, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		if bucket := tx.Bucket([]byte(e.bucket)); bucket != nil {
			value = bytes.Clone(bucket.Get([]byte(e.key)))
		}
		return nil
	})
	return value, err
}

// put stores the value.
func (e boltEntry) put(tx *bbolt.Tx, value []byte) error {
	bucket, err := tx.CreateBucketIfNotExists([]byte(e.bucket))
	if err != nil {
		return err
	}
	return bucket.Put([]byte(e.key), value)
}
