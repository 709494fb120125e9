package journal

import (
	"errors"
	"fmt"
	"io"

	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// A Limit says how far a Follower reads.
type Limit uint8

const (
	// Durable: only what is durable here. Subscriptions (R13).
	Durable Limit = iota
	// Appended: all. Links, which don't wait for the disk.
	Appended
)

// ErrTrimmed reports that retention has removed records a follower had not read.
var ErrTrimmed = ledger.ErrTrimmed

// A Follower reads the journal in order and, at its end, is called again
// later. It isn't safe for concurrent use.
type Follower struct {
	j      *Journal
	cursor *seglog.Cursor
	limit  Limit
	bound  Position // it may read up to here without asking
	err    error    // final

	ahead []seglog.Record // scratch of Ahead
	run   []record.Ordinary
}

// Follow returns a follower whose first record is at from; 0 is the oldest
// there is. If from has been removed since the journal was opened, Next
// returns ErrTrimmed.
func (j *Journal) Follow(from Position, limit Limit) *Follower {
	f := &Follower{j: j, limit: limit, cursor: j.log.Cursor(from)}
	f.Seek(from)
	return f
}

// Seek has the follower go on as one that begins at a position, see [Journal.Follow].
func (f *Follower) Seek(to Position) {
	if errors.Is(f.err, ErrClosed) {
		return
	}
	f.err = nil
	if to == 0 {
		to = f.j.log.First()
	} else if err := f.j.skipped(to); err != nil {
		f.err = fmt.Errorf("journal: follow from %v: %w", to, err)
	}
	f.cursor.Seek(to)
}

// notZero returns where the first record at or behind a position stands if
// the position is 0: Follow would take that for another one once it is removed.
func (j *Journal) notZero(at Position) Position {
	if at > 0 {
		return at
	}
	c := j.log.Cursor(at)
	defer c.Close()
	if rec, err := c.Next(); err == nil {
		return rec.Position
	}
	return at
}

// Next reads the next record into r, whose slices are valid until the next
// call. It returns false when nothing more is there for now. An error is
// final: ErrTrimmed, ErrClosed, a *seglog.DamageError, or one of the disk.
func (f *Follower) Next(r *Record) (bool, error) {
	for f.err == nil {
		at := f.cursor.Position()
		if at >= f.bound && !f.extend(at) {
			return false, f.err
		}
		rec, err := f.cursor.Next()
		if err == io.EOF {
			return false, nil
		}
		if errors.Is(err, seglog.ErrClosed) {
			err = ErrClosed
		}
		if err == nil && rec.Position != at {
			err = f.j.skipped(at)
		}
		// What stands before the bound may be no record at all, but the log's own.
		if err == nil && rec.Position >= f.bound && !f.extend(rec.Position) {
			f.cursor.Seek(rec.Position)
			return false, f.err
		}
		if err == nil && Kind(rec.Kind) == kindState {
			continue
		}
		if err == nil {
			err = decodeLogged(rec, r)
		}
		if err == nil {
			return true, nil
		}
		f.err = fmt.Errorf("journal: read at %v: %w", at, err)
	}
	return false, f.err
}

// runMost is how many records Ahead looks at.
const runMost = 256

// Ahead returns what Next would return next, as far as it is ordinary messages of a
// publisher that begin with a number, one behind the other, and read already. They are
// valid as long as the record that Next has read.
func (f *Follower) Ahead(publisher, from uint64) []record.Ordinary {
	f.run = f.run[:0]
	if f.err != nil {
		return nil
	}
	f.ahead = f.cursor.Ahead(f.ahead[:0], runMost)
	for i := range f.ahead {
		rec := &f.ahead[i]
		if Kind(rec.Kind) != Message || len(rec.Payload) < timeLen || rec.Position >= f.bound && !f.extend(rec.Position) {
			break
		}
		o, is := record.AsOrdinary(rec.Payload[timeLen:])
		if !is || o.Publisher() != publisher || o.Sequence() != from+uint64(i) {
			break
		}
		f.run = append(f.run, o)
	}
	return f.run
}

// Skip moves behind the first n of what Ahead has returned.
func (f *Follower) Skip(n int) {
	if n > 0 {
		f.cursor.Skip(&f.ahead[n-1])
	}
}

// extend asks how far may be read, and reports whether that is beyond at.
func (f *Follower) extend(at Position) bool {
	f.j.mu.Lock()
	defer f.j.mu.Unlock()
	f.bound = f.j.durable
	if f.limit == Appended {
		f.bound = f.j.end
	}
	if f.j.closed {
		f.err = fmt.Errorf("journal: follow: %w", ErrClosed)
	}
	return f.err == nil && at < f.bound
}

// skipped returns ErrTrimmed if there were records from at on that have been removed.
func (j *Journal) skipped(at Position) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if at < j.trimmed {
		return ErrTrimmed
	}
	return nil
}

// Position returns where the next record will be read.
func (f *Follower) Position() Position { return f.cursor.Position() }

// Close releases what the follower holds open.
func (f *Follower) Close() error {
	if f.err == nil {
		f.err = fmt.Errorf("journal: follow: %w", ErrClosed)
	}
	return f.cursor.Close()
}
