package seglog

import (
	"cmp"
	"errors"
	"fmt"
)

// A Position is a place in one log: the number of bytes of frames before it since the log began. It
// grows with every record, is never reused, and has no meaning in another log.
type Position uint64

// EndOf returns the end position of a record at p with a payload of n bytes.
func EndOf(p Position, n int) Position { return p + Position(frameSize(n)) }

// A Record is the unit of a log: a payload, and one byte whose meaning the owner defines. Kinds
// below 0x10 belong to seglog itself.
type Record struct {
	Position Position // of the record
	Next     Position // of the next record
	Kind     uint8
	Payload  []byte // valid until the next call of the method that returned it
	frame    []byte // the frame with the payload
}

// An Owner is the state that a log records. Open calls its methods, and so does Append, before the
// record that is being appended counts. The methods must not call the log, and must not take a lock
// that is held during Append. The log copies the slices that they return.
type Owner interface {
	// Head returns the owner's state, to be stored at the head of a new segment. With it the
	// segment can be replayed without earlier ones. Nil: the state is empty.
	Head() []byte
	// Summary returns the summary to be stored at the end of the segment that ends now, and begins
	// a new one. Nil: no summary.
	Summary() []byte
	// RecoverHead is called by Open with the head of the segment that the replay begins with,
	// before its records. That is the last segment, or an earlier one if a head or a summary must
	// be rebuilt. RecoverHead is not called if that head is empty. Nor is it called if the head is
	// damaged and its segment begins at position 0. The owner then keeps the state that it had when
	// it was passed to Open.
	RecoverHead(payload []byte) error
	// Recover is called by Open for each record after that head, in order. The payload is valid
	// during the call.
	Recover(r Record) error
}

// An Amender is an Owner whose summaries contain facts that are known only after all records were
// replayed.
type Amender interface {
	// Amend returns a replacement for a summary. Open calls it after the last record, for each
	// summary that the owner made before.
	Amend(summary []byte) []byte
}

// Options are the settings of a log. FS, Dir and Owner must be set.
type Options struct {
	FS           FS
	Dir          string
	Owner        Owner
	SegmentBytes int64 // size at which a segment ends; default 64 MiB
	MaxRecord    int   // longest payload in bytes; default 16 MiB + 64 KiB
	TailBytes    int   // size of the newest records that stay in memory for readers; default 8 MiB
	// StageBytes is the size of the file that holds appended records until they are written, see
	// Log.Keep. Default: no such file.
	StageBytes int
	// CheckHead, unless nil, returns an error for a head that RecoverHead could not read. It gets
	// the first bytes of the head, 64 at most. Open calls it for each head before it changes
	// anything, so that the log of another owner stays as it is. The same holds for a log that a
	// later version of the owner has written (*fileversion.VersionError; Open fills in its File).
	CheckHead func(start []byte) error
	// SetAside lets Open cut a damaged log before the damage. The good records after it are moved
	// to the directory "aside" in Dir. Without SetAside Open refuses a damaged log.
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
		o.StageBytes < 0 || o.StageBytes > maxStageBytes {
		return fmt.Errorf("open log %s: SegmentBytes, MaxRecord, TailBytes or StageBytes out of range", o.Dir)
	}
	o.SegmentBytes = cmp.Or(o.SegmentBytes, defaultSegmentBytes)
	o.MaxRecord = cmp.Or(o.MaxRecord, defaultMaxRecord)
	o.TailBytes = cmp.Or(o.TailBytes, defaultTailBytes)
	o.FS = retryFS{o.FS}
	return nil
}

// A DamageError reports a bad record, head or header that was once durable, or a missing segment
// (R8). The disk lost or changed it; it is not in a torn tail.
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

// ErrTooLarge reports a record whose payload is longer than Options.MaxRecord.
var ErrTooLarge = errors.New("record is too large")

// A Segment describes one file of the log.
type Segment struct {
	First   Position // position of its first record
	End     Position // end of its last record, for the last segment including records that are not written
	Bytes   int64    // on disk, with head and summary; set by Segments only
	Summary []byte   // as Owner.Summary returned it; nil for the last segment, and after Log.ReleaseSummary
	Head    []byte   // as Owner.Head returned it; nil in the result of Segments (see Log.Head)
}
