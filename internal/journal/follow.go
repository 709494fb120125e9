package journal

import (
	"errors"
	"fmt"
	"io"

	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// A Limit selects the records that a Follower reads.
type Limit uint8

const (
	// Durable selects the records that are durable here. Subscriptions use it (R13).
	Durable Limit = iota
	// Appended selects all records. Links use it, because they do not wait for the disk.
	Appended
)

// ErrTrimmed reports that retention has removed records that a follower had not read.
var ErrTrimmed = ledger.ErrTrimmed

// A Follower reads the journal in order. At the end of the journal Next can be called again
// later. A Follower is not safe for concurrent use.
type Follower struct {
	j      *Journal
	cursor *seglog.Cursor
	limit  Limit
	bound  Position // Next may read up to here without asking the journal
	err    error    // final

	peeked []seglog.Record // buffer of PeekRun
	run    []record.OrdinaryMessage
}

// Follow returns a follower whose first record is at from; 0 means the oldest record. If
// the records at from have been removed since the journal was opened, Next returns
// ErrTrimmed.
func (j *Journal) Follow(from Position, limit Limit) *Follower {
	f := &Follower{j: j, limit: limit, cursor: j.log.Cursor(from)}
	f.Seek(from)
	return f
}

// Seek moves the follower to a position, as if [Journal.Follow] had returned it there.
func (f *Follower) Seek(to Position) {
	if errors.Is(f.err, ErrClosed) {
		return
	}
	f.err = nil
	if to == 0 {
		to = f.j.log.First()
	} else if err := f.j.checkTrimmed(to); err != nil {
		f.err = fmt.Errorf("journal: follow from %v: %w", to, err)
	}
	f.cursor.Seek(to)
}

// resolveZero replaces position 0 by the position of the first record. Follow takes 0 for the
// oldest record at that time, which is another one once retention has removed the first.
func (j *Journal) resolveZero(at Position) Position {
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

// Next reads the next record into r, whose slices are valid until the next call. It returns
// false if there is no more record for now. An error is final: ErrTrimmed, ErrClosed, a
// *seglog.DamageError, or an error of the disk.
func (f *Follower) Next(r *Record) (bool, error) {
	for f.err == nil {
		at := f.cursor.Position()
		if at >= f.bound && !f.raiseBound(at) {
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
			err = f.j.checkTrimmed(at)
		}
		// The bytes before the bound may be the log's own, without a record.
		if err == nil && rec.Position >= f.bound && !f.raiseBound(rec.Position) {
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

// maxPeek is the maximum number of records that PeekRun reads.
const maxPeek = 256

// PeekRun returns the records that Next would return next, as long as they are ordinary
// messages of the publisher with the numbers from, from+1 and so on. It returns only records
// that are in memory already. They are valid as long as the record of the last Next.
func (f *Follower) PeekRun(publisher, from uint64) []record.OrdinaryMessage {
	f.run = f.run[:0]
	if f.err != nil {
		return nil
	}
	f.peeked = f.cursor.Buffered(f.peeked[:0], maxPeek)
	for i := range f.peeked {
		rec := &f.peeked[i]
		if Kind(rec.Kind) != Message || len(rec.Payload) < timeLen || rec.Position >= f.bound && !f.raiseBound(rec.Position) {
			break
		}
		o, ordinary := record.AsOrdinary(rec.Payload[timeLen:])
		if !ordinary || o.Publisher() != publisher || o.Sequence() != from+uint64(i) {
			break
		}
		f.run = append(f.run, o)
	}
	return f.run
}

// Skip moves past the first n records that PeekRun has returned.
func (f *Follower) Skip(n int) {
	if n > 0 {
		f.cursor.Skip(&f.peeked[n-1])
	}
}

// raiseBound gets the bound from the journal and reports whether it is beyond at.
func (f *Follower) raiseBound(at Position) bool {
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

// checkTrimmed returns ErrTrimmed if retention has removed records at or after a position.
func (j *Journal) checkTrimmed(at Position) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if at < j.trimmed {
		return ErrTrimmed
	}
	return nil
}

// Position returns the position of the next record to read.
func (f *Follower) Position() Position { return f.cursor.Position() }

// Close releases the file that the follower holds open.
func (f *Follower) Close() error {
	if f.err == nil {
		f.err = fmt.Errorf("journal: follow: %w", ErrClosed)
	}
	return f.cursor.Close()
}
