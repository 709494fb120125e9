package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/holdfast-mq/holdfast/internal/boltfile"
)

// openStoreFile opens the database of a store, making it if there is none. Of
// its buckets the first is the store's. One that holds other things is refused.
func openStoreFile(path, kind string, buckets ...string) (*bbolt.DB, error) {
	db, err := boltfile.OpenOwn(path, boltfile.Options{Timeout: 250 * time.Millisecond, Buckets: buckets})
	if err != nil {
		return nil, storeFileError(path, err)
	}
	if err := holdsOnly(db, kind, buckets); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// storeFileError says what to do about a database that can't be opened.
func storeFileError(path string, err error) error {
	damage, damaged := errors.AsType[*boltfile.DamageError](err)
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return &exitError{exitInUse, fmt.Errorf("--store %s is in use by a running process: end that one, or name another", path)}
	case errors.Is(err, fs.ErrNotExist):
		return usagef("--store %s: the directory %s does not exist", path, filepath.Dir(path))
	case errors.Is(err, fs.ErrPermission):
		return &exitError{exitFailed, fmt.Errorf("--store %s: %w: use it as the user whose process made it", path, fs.ErrPermission)}
	case isDirectory(path):
		return usagef("--store %s is a directory: name a file, which is made if there is none (what a file store keeps shows holdfast store inspect)", path)
	case damaged && errors.Is(damage.Err, bbolterrors.ErrInvalid):
		return usagef("--store %s is no store (not a bbolt database): name another file, or one that is not there yet", path)
	case damaged:
		return &exitError{exitFound, fmt.Errorf("--store %s is damaged: %w; see holdfast store repair, or name another", path, damage.Err)}
	}
	return fmt.Errorf("--store %s: %w", path, err)
}

func isDirectory(path string) bool { return directory(path) == nil }

// holdsOnly refuses a database that has no bucket of ours, but others.
func holdsOnly(db *bbolt.DB, kind string, ours []string) error {
	var others []string
	own := false
	err := db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
			if slices.Contains(ours, string(name)) {
				own = true
			} else {
				others = append(others, plain(name))
			}
			return nil
		})
	})
	if err == nil && !own && len(others) > 0 {
		err = usagef("--store %s is not a %s, it holds something else (%s): name another file, or one that is not there yet",
			db.Path(), kind, strings.Join(others, ", "))
	}
	return err
}
