// Package journals has tests check and read the journals of instances.
package journals

import (
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// Verify opens a journal as its owner would, which cuts a torn tail, closes it, and
// reports an error unless it is as [journal.Inspect] wants it and was opened with what
// its records say.
func Verify(disk seglog.FS, dir string) (journal.Report, error) {
	j, err := journal.Open(journal.Options{FS: disk, Dir: dir})
	if err != nil {
		return journal.Report{}, err
	}
	have := haveVector(j)
	if err := j.Close(); err != nil {
		return journal.Report{}, err
	}
	return inspect(disk, dir, have)
}

// VerifyOpen is Verify for a journal that is open. Nothing may be appended or removed
// meanwhile.
func VerifyOpen(j *journal.Journal, disk seglog.FS, dir string) (journal.Report, error) {
	if err := j.Sync(); err != nil {
		return journal.Report{}, err
	}
	return inspect(noLockFS{disk}, dir, haveVector(j))
}

// inspect inspects a journal of which so much is to be there. What is set aside does not count.
func inspect(disk seglog.FS, dir string, have bookmark.Vector) (journal.Report, error) {
	found, err := journal.Inspect(disk, dir, nil)
	for _, d := range found.Log.Damage {
		err = errors.Join(err, d)
	}
	err = errors.Join(err, errors.Join(found.Faults...))
	if err == nil && !maps.Equal(have, found.Have) {
		err = fmt.Errorf("the table says %v, the records %v", have, found.Have)
	}
	return found.Report, err
}

func haveVector(j *journal.Journal) bookmark.Vector {
	v := make(bookmark.Vector)
	for _, s := range j.States() {
		if s.Have > 0 {
			v[s.Publisher] = s.Have
		}
	}
	return v
}

// An noLockFS disk has nobody wait for the owner of a directory.
type noLockFS struct{ seglog.FS }

func (noLockFS) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Dump calls fn with the records of a journal that nobody has open, in order, until it
// returns an error, and changes nothing. The error is a *seglog.DamageError if some
// can't be read, or wait to be merged again. The record is valid during the call.
func Dump(disk seglog.FS, dir string, fn func(*journal.Record) error) error {
	found, err := journal.Inspect(disk, dir, fn)
	switch {
	case err != nil:
		return err
	case len(found.Log.Damage) > 0:
		return fmt.Errorf("dump: %w", found.Log.Damage[0])
	case found.Log.Aside != nil:
		return fmt.Errorf("dump: %w", found.Log.Aside)
	}
	return nil
}
