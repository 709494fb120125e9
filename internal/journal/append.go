package journal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// errSequence reports a publisher that has used its last sequence.
var errSequence = errors.New("sequence numbers are used up")

// Append admits r. If the verdict is Accepted, it appends r and calls OnAppend. It sets
// Position and Next, Time if that is 0, and Sequence and Prev if Sequence is 0. If Time is
// before the time of the last record, Append raises it to that time. A record with Raw, as
// record.Parse returns it, is written unchanged.
//
// The record is in memory only until an fsync covers it (see Options.OnDurable). Append
// blocks while too many bytes are unwritten. The error is one of the disk, ErrClosed or
// ErrTooLarge, or it says that r is malformed or that its publisher has used its last
// sequence.
func (j *Journal) Append(r *Record) (Verdict, error) {
	v, err := j.append(r)
	j.notifyAppend(r, v)
	return v, err
}

// notifyAppend calls OnAppend if r was accepted.
func (j *Journal) notifyAppend(r *Record, v Verdict) {
	if v == Accepted && j.o.OnAppend != nil {
		j.o.OnAppend(r.Publisher, r.Sequence)
	}
}

// append appends a record, and then the set-aside records that follow it.
func (j *Journal) append(r *Record) (Verdict, error) {
	v, err := j.appendOne(r)
	if err == nil && v == Accepted && j.hasAside.Load() {
		err = j.mergePublisher(r.Publisher)
	}
	return v, err
}

// appendOne admits r and appends it. It leaves set-aside records alone.
func (j *Journal) appendOne(r *Record) (v Verdict, err error) {
	if err := j.checkRecord(r); err != nil {
		return 0, fmt.Errorf("journal: append %d|%d: %w", r.Publisher, r.Sequence, err)
	}
	sum := sumOf(r)
	j.mu.Lock()
	if err = j.waitRoomLocked(); err == nil {
		v, err = j.appendLocked(r, sum)
	}
	j.mu.Unlock()
	if err == nil && v == Accepted {
		j.work.Signal()
	}
	return v, j.failIfDisk(err)
}

// appendLocked admits r, whose sum is known, and appends it. An error of the disk is a
// diskError.
func (j *Journal) appendLocked(r *Record, sum uint32) (Verdict, error) {
	v, err := j.admitLocked(r, sum)
	if err != nil || v != Accepted {
		return v, err
	}
	j.table.prepareCheck(r)
	if err := j.writeLocked(r); err != nil {
		return 0, diskError{err}
	}
	if p := j.table.apply(r, sum); !p.dirty {
		p.dirty = true
		j.dirty = append(j.dirty, p)
	}
	j.end = Position(r.Next)
	return Accepted, nil
}

// checkRecord reports a record that is too large or malformed.
func (j *Journal) checkRecord(r *Record) error {
	n := len(r.Raw)
	if r.Raw == nil {
		var err error
		if n, err = record.Size(r); err != nil {
			return err
		}
	}
	if r.Check == (bookmark.Check{}) {
		n += len(r.Check) // a link may add the check
	}
	if n > MaxRecord || failpoint.On(failpoint.R14LimitsJournaled) && n > 1<<20 {
		return ErrTooLarge
	}
	if r.Sequence > 0 {
		return record.Validate(r)
	}
	numbered := *r // admission gives it a sequence
	numbered.Sequence, numbered.Prev = 1, 0
	return record.Validate(&numbered)
}

// waitRoomLocked waits until at most maxUnwritten bytes are left to the syncer.
func (j *Journal) waitRoomLocked() error {
	for !j.closed && j.err == nil && j.end-j.syncEnd > maxUnwritten {
		j.synced.Wait()
	}
	return j.unusableLocked()
}

// unusableLocked returns the reason why the journal accepts no records, or nil.
func (j *Journal) unusableLocked() error {
	if j.err != nil {
		return j.err
	}
	if j.closed {
		return fmt.Errorf("journal: %w", ErrClosed)
	}
	return nil
}

// admitLocked gives r a sequence if it has none, and returns the verdict of admission.
func (j *Journal) admitLocked(r *Record, sum uint32) (Verdict, error) {
	if r.Sequence == 0 {
		have := j.table.lookup(r.Publisher).have
		if have >= bookmark.MaxSequence {
			return 0, fmt.Errorf("journal: append for %d: %w", r.Publisher, errSequence)
		}
		r.Sequence, r.Prev = have+1, have
	}
	v := j.table.verdict(r, sum)
	switch {
	case v == Hole && failpoint.On(failpoint.R1Holes),
		v == Duplicate && failpoint.On(failpoint.R1NoDuplicateCheck):
		v = Accepted
	case v == Differs && failpoint.On(failpoint.R11NoContentCheck):
		v = Duplicate
	}
	return v, nil
}

// writeLocked adds r to the log.
func (j *Journal) writeLocked(r *Record) error {
	if r.Time == 0 {
		r.Time = j.now()
	}
	r.Time = max(r.Time, j.table.lastTime)
	head, rest := binary.LittleEndian.AppendUint64(j.scratch[:0], uint64(r.Time)), r.Raw
	length := 0 // of the record's header
	if r.Raw != nil {
		length = record.HeaderLen(r.Raw)
	} else {
		var err error
		if head, err = record.AppendHead(head, r); err != nil {
			return err
		}
		length, rest = record.HeaderLen(head[timeLen:]), r.Body
	}
	j.scratch = head
	at, err := j.log.AppendSummed(uint8(r.Kind), timeLen+length, r.Sum, head, rest)
	if err != nil {
		return fmt.Errorf("journal: append %d|%d: %w", r.Publisher, r.Sequence, err)
	}
	r.Position = ledger.Position(at)
	r.Next = ledger.Position(seglog.EndOf(at, len(head)+len(rest)))
	return nil
}

// now returns the time of the journal's clock in the unit of Record.Time.
func (j *Journal) now() int64 { return j.o.Now().UnixMicro() }

// withRoom waits for room, then calls do with mu held.
func (j *Journal) withRoom(do func() error) error {
	j.mu.Lock()
	err := j.waitRoomLocked()
	if err == nil {
		err = do()
	}
	j.mu.Unlock()
	return j.failIfDisk(err)
}

// appendChange adds a state record to the log and applies it.
func (j *Journal) appendChange(c change) error {
	return j.withRoom(func() error { return j.appendChangeLocked(c) })
}

// diskError marks an error of the log during an append. Such an error is final.
type diskError struct{ error }

func (e diskError) Unwrap() error { return e.error }

// failIfDisk makes the journal failed if err is an error of the disk.
func (j *Journal) failIfDisk(err error) error {
	if e, ok := err.(diskError); ok {
		return j.setFailed(e.error)
	}
	return err
}

func (j *Journal) appendChangeLocked(c change) error {
	c.time, c.age = max(j.table.lastTime, j.now()), j.updateAgeLocked()
	payload := c.payload()
	if len(payload) > MaxRecord {
		return fmt.Errorf("journal: state record: %w", ErrTooLarge)
	}
	at, err := j.log.Append(uint8(kindState), payload)
	if err != nil {
		return diskError{fmt.Errorf("journal: append state record: %w", err)}
	}
	j.table.applyChange(c)
	j.end = seglog.EndOf(at, len(payload))
	j.work.Signal()
	return nil
}
