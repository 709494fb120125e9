// Package boltfile opens a bbolt database in a crash-safe way. After a crash of the process or
// the machine at any moment, the database opens and has everything that was committed.
//
// bbolt alone has three weaknesses. A power cut while it creates a file leaves a file that never
// opens again. It does not sync the directory, so the file may disappear with all its commits. And
// the data that it reads after a kill may be in the page cache only. The next commit reuses pages
// of the previous state, and a power cut during that commit leaves neither state.
//
// bbolt also trusts the pages of its file. It panics on a bad page, and never returns if a branch
// leads back to itself. Open checks the pages first. Guard turns the remaining panics into errors.
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

// Open opens the database at path and creates it if needed. The error is a *DamageError if the
// file is no longer a database, and a *fileversion.VersionError if a later version of bbolt has written
// it. Call MakeDurable before the first commit.
func Open(path string, o *bbolt.Options) (*bbolt.DB, error) {
	db, _, err := checkAndOpen(path, *o)
	return db, err
}

func checkAndOpen(path string, o bbolt.Options) (*bbolt.DB, Usage, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path, &o); err != nil {
			return nil, Usage{}, err
		}
	}
	usage, err := checkFile(path, o)
	if err != nil {
		return nil, usage, err
	}
	db, err := open(path, o)
	return db, usage, err
}

// create creates an empty database under a temporary name and renames it. So a file with the final
// name is always complete.
func create(path string, o *bbolt.Options) error {
	tmp := tempName(path)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	options := *o
	if options.OpenFile == nil {
		options.OpenFile = openNew
	}
	db, err := bbolt.Open(tmp, 0o600, &options)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// openNew opens a file that must not exist yet. It does not follow a link.
func openNew(name string, flag int, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag|os.O_EXCL, mode)
}

// MakeDurable makes the database durable as it was found. Call it before the first commit. It waits
// for an open write transaction.
//
// bbolt syncs the data pages before it writes the meta page that names them. MakeDurable writes
// that meta page again: after a failed sync the page may be clean in the cache and not on the disk.
// It assumes that a sector keeps its content when the same content is written to it. MakeDurable
// also makes the name of the file durable, since an application that created the database may not
// have done so.
func MakeDurable(db *bbolt.DB) error {
	tx, err := db.Begin(true)
	if err == nil {
		defer tx.Rollback()
		err = cmp.Or(rewriteMeta(db.Path(), int64(db.Info().PageSize)), SyncDir(filepath.Dir(db.Path())))
	}
	if err != nil {
		return fmt.Errorf("make %s durable: %w", db.Path(), err)
	}
	return nil
}

// MetaPagesValid reports whether both meta pages of an open database are undamaged. A damaged one
// may have been the newer one. The database then has the state before its last commit. A power cut
// can cause this, and so can damage. MetaPagesValid waits for an open write transaction.
func MetaPagesValid(db *bbolt.DB) (valid bool, err error) {
	tx, err := db.Begin(!db.IsReadOnly()) // no concurrent writer
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	return metaPagesValid(db)
}

func metaPagesValid(db *bbolt.DB) (valid bool, err error) {
	f, err := os.Open(db.Path())
	if err != nil {
		return false, err
	}
	defer f.Close()
	valid = true
	for id := range int64(firstPage) {
		var b [metaSize]byte
		if _, err := f.ReadAt(b[:], id*int64(db.Info().PageSize)+pageHeader); err != nil {
			return false, err
		}
		valid = valid && isValidMeta(&b)
	}
	return valid, nil
}

// rewriteMeta reads the newest meta page, writes it back, and syncs the file.
func rewriteMeta(path string, pageSize int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := newestMeta(f, pageSize)
	if err != nil {
		return asDamageError(path, err)
	}
	b := make([]byte, pageSize)
	if _, err := f.ReadAt(b, m.page*pageSize); err != nil {
		return err
	}
	if _, err := f.WriteAt(b, m.page*pageSize); err != nil {
		return err
	}
	return f.Sync()
}

// SyncDir makes the name of a new file durable. Windows has no such call and does not need it.
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
