package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// errSequence reports a publisher that has used its last number.
var errSequence = errors.New("sequence numbers are used up")

// Append admits r and, if the verdict is Take, adds it, setting its Position,
// Next and, where they were 0, Time, Sequence and Prev. A Time before that of
// the last record becomes that. The record is in memory only until an fsync
// covers it, see OnDurable. Append waits while too much is unwritten. The error
// is that of the disk, ErrClosed, or ErrTooLarge.
func (j *Journal) Append(r *Record) (Verdict, error) {
	v, err := j.Add(r)
	j.told(r, v)
	return v, err
}

// Add is Append, except that it does not call OnAppend. Who calls it does so
// with Tell: once for what comes together, but before it waits for anything.
func (j *Journal) Add(r *Record) (Verdict, error) {
	n, err := encodedLen(r)
	if err == nil && n > j.o.maxRecord() {
		err = ErrTooLarge
	}
	if err == nil && !r.Kind.Known() {
		err = fmt.Errorf("%w: %v", errRecord, r.Kind)
	}
	if err != nil {
		return 0, fmt.Errorf("journal: append %d|%d: %w", r.Publisher, r.Sequence, err)
	}
	return j.take(r, nil)
}

// AppendRaw is Append for a record that came over a link. The returned Record
// shares raw's memory. A record that does not decode is an error.
func (j *Journal) AppendRaw(raw []byte) (Record, Verdict, error) {
	var r Record
	if err := j.decodeRaw(raw, &r); err != nil {
		return r, 0, err
	}
	v, err := j.take(&r, raw)
	j.told(&r, v)
	return r, v, err
}

// AddDecoded is Add for a record as Decode has returned it.
func (j *Journal) AddDecoded(r *Record) (Verdict, error) {
	if len(r.Raw) > j.o.maxRecord() {
		return 0, fmt.Errorf("journal: append: %w", ErrTooLarge)
	}
	return j.take(r, r.Raw)
}

// take appends a record, and what was set aside and follows it.
func (j *Journal) take(r *Record, raw []byte) (Verdict, error) {
	v, err := j.append(r, raw)
	if err == nil && v == Take && j.merges.Load() {
		err = j.mergeAside(r.Publisher)
	}
	return v, err
}

// told tells OnAppend of one record, if it was taken.
func (j *Journal) told(r *Record, v Verdict) {
	if v == Take && j.o.OnAppend != nil {
		j.o.OnAppend(r.Publisher, r.Sequence)
	}
}

func (j *Journal) decodeRaw(raw []byte, r *Record) error {
	if len(raw) > j.o.maxRecord() {
		return fmt.Errorf("journal: append: %w", ErrTooLarge)
	}
	if err := decode(raw, r); err != nil {
		return fmt.Errorf("journal: append: %w", err)
	}
	return nil
}

func (j *Journal) appendRaw(raw []byte, r *Record) (Verdict, error) {
	if err := j.decodeRaw(raw, r); err != nil {
		return 0, err
	}
	return j.append(r, raw)
}

// append admits and adds r, whose encoding is raw if that is not nil.
func (j *Journal) append(r *Record, raw []byte) (Verdict, error) {
	crc := messageCRC(r)
	j.mu.Lock()
	if err := j.waitRoomLocked(); err != nil {
		j.mu.Unlock()
		return 0, err
	}
	v, err := j.admitLocked(r, crc)
	if err != nil || v != Take {
		j.mu.Unlock()
		return v, err
	}
	if err := j.logLocked(r, raw); err != nil {
		j.mu.Unlock()
		return 0, j.fail(err)
	}
	if p := j.table.apply(r, crc); !p.dirty {
		p.dirty = true
		j.dirty = append(j.dirty, p)
	}
	j.end = Position(r.Next)
	j.mu.Unlock()
	j.work.Signal()
	return Take, nil
}

// waitRoomLocked waits until no more than unwrittenMost is left to the syncer.
func (j *Journal) waitRoomLocked() error {
	for !j.closed && j.err == nil && j.end-j.taken > unwrittenMost {
		j.synced.Wait()
	}
	return j.unusableLocked()
}

// unusableLocked returns why the journal takes nothing, or nil.
func (j *Journal) unusableLocked() error {
	if j.err != nil {
		return j.err
	}
	if j.closed {
		return fmt.Errorf("journal: %w", ErrClosed)
	}
	return nil
}

// admitLocked numbers r if it is to be, and says whether it may be taken.
func (j *Journal) admitLocked(r *Record, crc uint32) (Verdict, error) {
	if r.Sequence == 0 {
		have := uint64(0)
		if p := j.table.byID[r.Publisher]; p != nil {
			have = p.have
		}
		if have == math.MaxUint64 {
			return 0, fmt.Errorf("journal: append for %d: %w", r.Publisher, errSequence)
		}
		r.Sequence, r.Prev = have+1, have
		if r.Kind == Gone {
			r.Prev = 0
		}
	}
	v := j.table.verdict(r, crc)
	switch {
	case v == Hole && mut.On(mut.R1Holes),
		v == Duplicate && mut.On(mut.R1NoDuplicateCheck):
		v = Take
	case v == Differs && mut.On(mut.R11NoContentCheck):
		v = Duplicate
	}
	return v, nil
}

// logLocked adds r to the log.
func (j *Journal) logLocked(r *Record, raw []byte) error {
	if r.Time == 0 {
		r.Time = j.Now()
	}
	r.Time = max(r.Time, j.table.lastTime)
	j.header = binary.LittleEndian.AppendUint64(j.header[:0], uint64(r.Time))
	var at Position
	var err error
	n := timeLen + len(raw)
	if raw != nil {
		at, err = j.log.Append(uint8(r.Kind), j.header, raw)
	} else {
		j.header = appendHeader(j.header, r)
		j.tail = appendTail(j.tail[:0], r)
		n = len(j.header) + len(r.Topic) + len(r.Body) + len(j.tail)
		at, err = j.log.Append(uint8(r.Kind), j.header, r.Topic, r.Body, j.tail)
	}
	if err != nil {
		return fmt.Errorf("journal: append %d|%d: %w", r.Publisher, r.Sequence, err)
	}
	r.Position = ledger.Position(at)
	r.Next = ledger.Position(seglog.Behind(at, n))
	return nil
}

// Now returns the time by the journal's clock as Record.Time counts it.
func (j *Journal) Now() int64 { return j.o.Now().UnixMicro() }

// appendChange adds a state record to the log and applies it.
func (j *Journal) appendChange(c change) error {
	j.mu.Lock()
	err := j.waitRoomLocked()
	if err == nil {
		err = j.appendChangeLocked(c)
	}
	j.mu.Unlock()
	return j.judge(err)
}

// errDisk marks an error of the log in an append, which is final.
type errDisk struct{ error }

func (e errDisk) Unwrap() error { return e.error }

// judge makes the journal failed if err is one of the disk.
func (j *Journal) judge(err error) error {
	if e, ok := err.(errDisk); ok {
		return j.fail(e.error)
	}
	return err
}

func (j *Journal) appendChangeLocked(c change) error {
	c.time = max(j.table.lastTime, j.Now())
	payload := appendChange(nil, c)
	if len(payload) > j.o.maxRecord() {
		return fmt.Errorf("journal: state record: %w", ErrTooLarge)
	}
	at, err := j.log.Append(uint8(kindState), payload)
	if err != nil {
		return errDisk{fmt.Errorf("journal: append state record: %w", err)}
	}
	j.table.applyChange(c)
	j.end = seglog.Behind(at, len(payload))
	j.work.Signal()
	return nil
}
