// Package journals checks and reads the journals of instances in tests.
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

// Verify opens a journal, which cuts a torn tail, closes it, and inspects it. It returns an error
// if [journal.Inspect] finds damage or a fault, or if the opened journal had other numbers than
// its records.
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

// VerifyOpen is Verify for a journal that is open. The caller must not append or trim meanwhile.
func VerifyOpen(j *journal.Journal, disk seglog.FS, dir string) (journal.Report, error) {
	if err := j.Sync(); err != nil {
		return journal.Report{}, err
	}
	return inspect(noLockFS{disk}, dir, haveVector(j))
}

// inspect inspects a journal that must have the vector have. Set-aside records do not count.
func inspect(disk seglog.FS, dir string, have bookmark.Vector) (journal.Report, error) {
	found, err := journal.Inspect(disk, dir, nil)
	for _, d := range found.Log.Damage {
		err = errors.Join(err, d)
	}
	err = errors.Join(err, errors.Join(found.Faults...))
	if err == nil && !maps.Equal(have, found.Have) {
		err = fmt.Errorf("the table has the vector %v, but the records have %v", have, found.Have)
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

// A noLockFS opens a directory although its owner has locked it.
type noLockFS struct{ seglog.FS }

func (noLockFS) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Dump calls fn with the records of a journal that is not open, in order, until fn returns an
// error. It changes nothing. A record is valid during the call. The error is a
// *seglog.DamageError if a record is unreadable, or if set-aside records are not merged yet.
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
