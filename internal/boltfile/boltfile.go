// Package boltfile opens a bbolt database so that a crash, of the process or
// the machine, at any moment leaves one that opens, with all that was committed.
//
// bbolt alone leaves three gaps. A power cut while it makes a file leaves one
// that never opens again. It doesn't sync the directory, so the file may be
// gone with all commits in it. And what it reads back after a kill may be in
// the page cache only: the next commit reuses pages of the state before, and a
// power cut during that leaves neither state.
//
// And it trusts the pages of its file: a bad one makes it panic or, where a
// branch leads back to itself, never come back. Open looks at the pages first;
// Guard makes errors of the panics that remain.
package boltfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"go.etcd.io/bbolt"
)

// Open opens the database at path, making it if there is none. A file that is
// no database any more is a *DamageError.
func Open(path string, o *bbolt.Options) (*bbolt.DB, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path, o); err != nil {
			return nil, err
		}
	}
	if err := examine(path, *o); err != nil {
		return nil, err
	}
	db, err := open(path, *o)
	if err != nil {
		return nil, err
	}
	// Whoever made the file may have died before its name was durable.
	if err := errors.Join(settle(db), syncDir(filepath.Dir(path))); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// create makes an empty database under another name first, so that one that
// has its name is whole.
func create(path string, o *bbolt.Options) error {
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(tmp, 0o600, o)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// settle makes durable what the database was found as. Data pages were synced
// before the meta page that names them was written. That page is written again,
// since a sync that failed has left it clean in the cache and not on the disk.
// A sector that is written with what it holds is taken to keep that.
func settle(db *bbolt.DB) error {
	var page int64 // of the newest meta
	err := db.View(func(tx *bbolt.Tx) error {
		page = int64(tx.ID() % 2)
		return nil
	})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(db.Path(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	meta := make([]byte, db.Info().PageSize)
	if _, err := f.ReadAt(meta, page*int64(len(meta))); err != nil {
		return fmt.Errorf("read meta page: %w", err)
	}
	if _, err := f.WriteAt(meta, page*int64(len(meta))); err != nil {
		return err
	}
	return f.Sync()
}

// syncDir makes the name of a new file durable. Windows has no such call and
// needs none.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
