package boltfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"syscall"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// A DamageError means that a file is not a bbolt database, or no longer one.
type DamageError struct {
	Path string
	Err  error
}

func (e *DamageError) Error() string { return fmt.Sprintf("database %s is damaged: %v", e.Path, e.Err) }
func (e *DamageError) Unwrap() error { return e.Err }

// Guard turns a panic of bbolt in do into a *DamageError. bbolt trusts its pages and its mapped
// file, and panics if they are damaged.
func Guard(path string, do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &DamageError{path, fmt.Errorf("%v", r)}
		}
	}()
	return do()
}

// Remove removes a bucket or a value by its key.
func Remove(from *bbolt.Bucket, key []byte) error {
	if from.Bucket(key) != nil {
		return from.DeleteBucket(key)
	}
	return from.Delete(key)
}

// errReplaced means that the file was replaced while open waited for its lock.
var errReplaced = errors.New("the file was replaced")

// open opens the file that has the name path once it is locked: while open waits for the lock, a
// compaction by another process may replace the file (OpenPrivate).
func open(path string, o bbolt.Options) (*bbolt.DB, error) {
	for {
		db, err := openOnce(path, o)
		if !errors.Is(err, errReplaced) {
			return db, asDamageError(path, err)
		}
	}
}

// openOnce is bbolt.Open, but closes and unlocks the file after an error or a panic.
func openOnce(path string, o bbolt.Options) (db *bbolt.DB, err error) {
	var opened *os.File
	openFile := o.OpenFile
	if openFile == nil {
		openFile = os.OpenFile
	}
	o.OpenFile = func(name string, flag int, perm os.FileMode) (f *os.File, err error) {
		opened, err = openFile(name, flag, perm)
		return opened, err
	}
	err = Guard(path, func() (err error) {
		db, err = bbolt.Open(path, 0o600, &o)
		return err
	})
	if err != nil && opened != nil {
		unlock(opened)
		_ = opened.Close() // bbolt may have closed it; the first error counts
	}
	if err != nil {
		return nil, err
	}
	if err := checkName(opened, path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// checkName returns errReplaced if f is no longer the file named path.
func checkName(f *os.File, path string) error {
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	current, err := os.Stat(path)
	if err == nil && !os.SameFile(opened, current) {
		err = errReplaced
	}
	return err
}

// asDamageError turns an error about the content of a file into a *DamageError or a
// *fileversion.VersionError. It returns an error of the file system unchanged.
func asDamageError(path string, err error) error {
	_, isDamage := errors.AsType[*DamageError](err)
	_, isPath := errors.AsType[*fs.PathError](err)
	_, isErrno := errors.AsType[syscall.Errno](err)
	if err == nil || isDamage || isPath || isErrno || errors.Is(err, berrors.ErrTimeout) {
		return err
	}
	if newer := newerVersion(path); newer != nil {
		return newer
	}
	return &DamageError{path, err}
}

// OpenReadOnly checks the pages of an existing database and opens it read-only. The error is a
// *DamageError if the file is not a database, or no longer one, and a *fileversion.VersionError if a
// later version of bbolt has written it.
func OpenReadOnly(path string, o *bbolt.Options) (*bbolt.DB, error) {
	db, _, err := openReadOnly(path, *o)
	return db, err
}

func openReadOnly(path string, o bbolt.Options) (*bbolt.DB, Usage, error) {
	o.ReadOnly = true
	db, err := open(path, o)
	if err != nil {
		return nil, Usage{}, err
	}
	usage, err := UsageOf(db)
	if err != nil {
		return nil, usage, errors.Join(err, db.Close())
	}
	return db, usage, nil
}

// checkFile checks every used page of a database while no process writes.
func checkFile(path string, o bbolt.Options) (Usage, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		err = &fs.PathError{Op: "open", Path: path, Err: syscall.EISDIR}
	}
	if err != nil {
		return Usage{}, err
	}
	if info.Size() == 0 {
		return Usage{}, nil // bbolt initializes an empty file
	}
	reader, usage, err := openReadOnly(path, o)
	if err != nil {
		return usage, err
	}
	return usage, reader.Close()
}
