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
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"go.etcd.io/bbolt"
)

// Open opens the database at path, making it if there is none. A file that is
// no database any more is a *DamageError, one that a later version of bbolt has
// written a *format.VersionError. Settle must follow before anything is
// committed.
func Open(path string, o *bbolt.Options) (*bbolt.DB, error) {
	db, _, err := openExamined(path, *o)
	return db, err
}

func openExamined(path string, o bbolt.Options) (*bbolt.DB, Usage, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path, &o); err != nil {
			return nil, Usage{}, err
		}
	}
	usage, err := examine(path, o)
	if err != nil {
		return nil, usage, err
	}
	db, err := open(path, o)
	return db, usage, err
}

// create makes an empty database under another name first, so that one that
// has its name is whole.
func create(path string, o *bbolt.Options) error {
	tmp := copyName(path)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fresh := *o
	if fresh.OpenFile == nil {
		fresh.OpenFile = openNew
	}
	db, err := bbolt.Open(tmp, 0o600, &fresh)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// openNew opens a file that is not there yet, and no link either.
func openNew(name string, flag int, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag|os.O_EXCL, mode)
}

// Settle makes durable what the database was found as, before anything is
// committed to it. Data pages were synced before the meta page that names them
// was written. That page is written again, since a sync that failed has left it
// clean in the cache and not on the disk. A sector that is written with what it
// holds is taken to keep that. And the name of the file is made durable, which
// whoever made it, also an application that shares its database, may not have
// done. It waits for a write transaction that is open.
func Settle(db *bbolt.DB) error {
	tx, err := db.Begin(true)
	if err == nil {
		defer tx.Rollback()
		newest := int64(tx.ID()-1) % 2
		err = cmp.Or(rewrite(db.Path(), newest, db.Info().PageSize), SyncDir(filepath.Dir(db.Path())))
	}
	if err != nil {
		return fmt.Errorf("make %s durable: %w", db.Path(), err)
	}
	return nil
}

// Whole reports whether both meta pages of an open database are what was
// written. If one is not, it may have been the newer one: what the database
// holds is then what it held one commit earlier. A power cut leaves that, and so
// does damage. It waits for a write transaction that is open.
func Whole(db *bbolt.DB) (whole bool, err error) {
	tx, err := db.Begin(!db.IsReadOnly()) // so that nobody writes meanwhile
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	return metasWhole(db)
}

func metasWhole(db *bbolt.DB) (whole bool, err error) {
	f, err := os.Open(db.Path())
	if err != nil {
		return false, err
	}
	defer f.Close()
	whole = true
	for id := range int64(firstPage) {
		var b [metaSize]byte
		if _, err := f.ReadAt(b[:], id*int64(db.Info().PageSize)+pageHeader); err != nil {
			return false, err
		}
		whole = whole && wholeMeta(&b)
	}
	return whole, nil
}

// rewrite writes a page with what it reads there, and syncs.
func rewrite(path string, page int64, size int) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, size)
	if _, err := f.ReadAt(b, page*int64(size)); err != nil {
		return err
	}
	if _, err := f.WriteAt(b, page*int64(size)); err != nil {
		return err
	}
	return f.Sync()
}

// SyncDir makes the name of a new file durable. Windows has no such call and
// needs none.
func SyncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
