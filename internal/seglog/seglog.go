package seglog

import (
	"cmp"
	"errors"
	"fmt"
)

// A Position is a place in one log: bytes of records before it since the log
// began. It grows with every record, is never reused, and means nothing to
// another log.
type Position uint64

// Behind returns the position behind a record of n bytes that stands at p.
func Behind(p Position, n int) Position { return p + Position(frameSize(n)) }

// A Record is what a log keeps: one byte that its owner gives a meaning, and
// a payload. Kinds below 0x10 belong to seglog itself.
type Record struct {
	Position Position // where it stands
	Next     Position // where the next one stands
	Kind     uint8
	Payload  []byte // valid until the next call on what returned it
	frame    []byte // that it stands in
}

// An Owner is what a log is the log of. Its methods are called by Open, and
// from within Append, where the record being appended doesn't count yet; they
// must not call the log or take a lock that is held while appending. What they
// return is copied.
type Owner interface {
	// Head returns the state to stand at the head of a new segment, so that
	// what came before is not needed to know it. Nil: none.
	Head() []byte
	// Summary returns what to note at the end of the segment that is being
	// sealed, and begins a new summary. Nil: none.
	Summary() []byte
	// RecoverHead is called by Open with the head of the last segment (of an
	// earlier one if a head is damaged, or if a summary must be made again),
	// before the records that follow it. It isn't called if the head is empty,
	// or damaged where the log began: the owner is then as it was given to Open.
	RecoverHead(payload []byte) error
	// Recover is called by Open for each record behind that head, in order.
	// The payload is valid during the call.
	Recover(r Record) error
}

// An Amender is an Owner whose summaries say something that is known only when all
// records are.
type Amender interface {
	// Amend returns what to note in the place of a summary. It is called by Open
	// behind the last record, for each summary that was made before.
	Amend(summary []byte) []byte
}

// Options say how to open a log. FS, Dir and Owner must be set.
type Options struct {
	FS           FS
	Dir          string
	Owner        Owner
	SegmentBytes int64 // size at which a segment is sealed; default 64 MiB
	MaxRecord    int   // longest payload in bytes; default 16 MiB + 64 KiB
	TailBytes    int   // newest records that are kept in memory for readers; default 8 MiB
	// StageBytes is the size of the file that what is appended goes to until it
	// is written, see Log.Keep; default none.
	StageBytes int
	// CheckHead, unless nil, says whether a head can be RecoverHead's, by the
	// first bytes of it, 64 at most. Open asks of each before it changes
	// anything, so that the log of another owner, or of a later version of this
	// one (a *format.VersionError, whose File Open fills in), stays as it is.
	CheckHead func(start []byte) error
	// SetAside cuts a damaged log before the damage instead of refusing to
	// open it, and moves what is behind to the directory "aside" in Dir.
	SetAside bool
}

const (
	defaultSegmentBytes = 64 << 20
	defaultMaxRecord    = 16<<20 + 64<<10
	defaultTailBytes    = 8 << 20
	largestRecord       = 1 << 30
)

func (o *Options) validate() error {
	if o.FS == nil || o.Dir == "" || o.Owner == nil {
		return errors.New("open log: FS, Dir and Owner must be set")
	}
	if o.SegmentBytes < 0 || o.MaxRecord < 0 || o.MaxRecord > largestRecord || o.TailBytes < 0 ||
		o.StageBytes < 0 || o.StageBytes > stageMost {
		return fmt.Errorf("open log %s: SegmentBytes, MaxRecord, TailBytes or StageBytes out of range", o.Dir)
	}
	o.SegmentBytes = cmp.Or(o.SegmentBytes, defaultSegmentBytes)
	o.MaxRecord = cmp.Or(o.MaxRecord, defaultMaxRecord)
	o.TailBytes = cmp.Or(o.TailBytes, defaultTailBytes)
	o.FS = scarceFS{o.FS}
	return nil
}

// A DamageError reports a bad record below what was once durable (R8): not a
// torn tail, but a disk that lost or changed what it held.
type DamageError struct {
	File     string
	Offset   int64 // in the file, bytes
	Position Position
	Reason   string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("log damaged: %s at offset %d: %s", e.File, e.Offset, e.Reason)
}

// ErrClosed reports the use of a closed log.
var ErrClosed = errors.New("log is closed")

// ErrTooLarge reports a record longer than Options.MaxRecord.
var ErrTooLarge = errors.New("record is too large")

// A Segment describes one file of the log.
type Segment struct {
	First   Position // of its first record
	End     Position // behind its last record; of the last segment: of what is appended
	Bytes   int64    // on disk, with head and summary; in what Segments returns
	Summary []byte   // as Owner.Summary returned it; nil in the last segment
	Head    []byte   // as Owner.Head returned it; nil in what Segments returns (see Log.Head)
}
