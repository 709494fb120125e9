package journal

import (
	"log/slog"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// Options say how to open a journal. FS and Dir must be set.
type Options struct {
	FS           seglog.FS
	Dir          string
	SegmentBytes int64        // default 64 MiB
	MaxMessage   int          // bytes of a message with its header; default 16 MiB
	Log          *slog.Logger // default: silent

	// OnDurable is called after each fsync with what it covered. It is
	// called by the syncer, one call at a time, and must not block.
	OnDurable func(moved []Moved)
	// OnAppend is called after each record taken, in journal order, without
	// a lock of the journal held by the caller's own Append. Must not block.
	OnAppend func(publisher, sequence uint64)
	// OnFail is called once when the disk failed (R7). The journal takes nothing more.
	OnFail func(err error)

	// SetAside opens a damaged journal up to the damage; see Journal.Damage.
	SetAside bool
	// Carried reports whether the links carry a topic: what they don't is
	// left out of running CRCs (R11). Nil: all.
	Carried func(topic []byte) bool
}

// Moved says that a publisher's durable mark has moved to Sequence.
type Moved struct{ Publisher, Sequence uint64 }

// A State is what the journal knows of one publisher.
type State struct {
	Publisher  uint64
	Have       uint64 // highest sequence in the journal, durable or not
	Durable    uint64 // highest one covered by an fsync of this process
	Floor      uint64 // highest one that retention has removed, or that is marked gone
	RunningCRC uint32 // over the messages of carried topics up to Have (R11)
}

// A Tombstoned names a refused message that its publisher may still keep.
type Tombstoned struct {
	Sequence uint64
	Reason   string
}

// A Journal is one instance's transaction log. One goroutine of its own
// syncs; all methods are safe for concurrent use.
type Journal struct{}

// Open opens or makes the journal in o.Dir and starts the syncer. When it
// returns, all that the journal holds is durable by an fsync of this process.
func Open(o Options) (*Journal, error) { panic("TODO") }

// Append admits r and, if the verdict is Take, adds it, setting its Position,
// Time and, if it was 0, Sequence and Prev. The record is in memory only
// until an fsync covers it, see OnDurable. Append waits while too much is
// unwritten. The error is that of the disk or ErrClosed.
func (j *Journal) Append(r *Record) (Verdict, error) { panic("TODO") }

// AppendRaw is Append for a record that came over a link. The returned Record
// shares raw's memory. A record that does not decode is an error.
func (j *Journal) AppendRaw(raw []byte) (Record, Verdict, error) { panic("TODO") }

// State returns what is known of a publisher; known is false if nothing is.
func (j *Journal) State(publisher uint64) (s State, known bool) { panic("TODO") }

// States returns all publishers' states, ordered by publisher.
func (j *Journal) States() []State { panic("TODO") }

// Tombstones returns the refused messages of a publisher above a sequence, in order.
func (j *Journal) Tombstones(publisher, above uint64) []Tombstoned { panic("TODO") }

// Seen notes that a publisher is in use now, so that retention keeps it in the tables.
func (j *Journal) Seen(publisher uint64) { panic("TODO") }

// First, End and Durable are the positions of the oldest record, behind the
// newest, and behind the newest durable one.
func (j *Journal) First() Position   { panic("TODO") }
func (j *Journal) End() Position     { panic("TODO") }
func (j *Journal) Durable() Position { panic("TODO") }

// DurableVector returns the durable end and the vector that belongs to it,
// from one moment: the base of a subscription that starts at NOW (R9).
func (j *Journal) DurableVector() (Position, bookmark.Vector) { panic("TODO") }

// Floors returns the floor of every publisher that has one: the base of a
// subscription that starts at EPOCH.
func (j *Journal) Floors() bookmark.Vector { panic("TODO") }

// SeekVector returns a position such that v covers every record before it,
// using the segments' summaries; it may be earlier than the first record not covered.
func (j *Journal) SeekVector(v bookmark.Vector) (Position, error) { panic("TODO") }

// SeekTime returns the position of the first record taken at or after t and
// the vector of what stands before it.
func (j *Journal) SeekTime(t time.Time) (Position, bookmark.Vector, error) { panic("TODO") }

// Find returns the position of a message, found false if it isn't in the journal (any more).
func (j *Journal) Find(b bookmark.Bookmark) (at Position, found bool, err error) { panic("TODO") }

// Changed returns a channel that is closed when a record is appended or becomes durable.
func (j *Journal) Changed() <-chan struct{} { panic("TODO") }

// A Limit says how far a Follower reads.
type Limit uint8

const (
	// Durable: only what is durable here. Subscriptions (R13).
	Durable Limit = iota
	// Appended: all. Links, which don't wait for the disk.
	Appended
)

// A Follower reads the journal in order and, at its end, is called again
// later. It isn't safe for concurrent use.
type Follower struct{}

// Follow returns a follower whose first record is at from.
func (j *Journal) Follow(from Position, limit Limit) *Follower { panic("TODO") }

// Next reads the next record into r, whose slices are valid until the next
// call. It returns false when nothing more is there for now.
func (f *Follower) Next(r *Record) (bool, error) { panic("TODO") }

// Position returns where the next record will be read.
func (f *Follower) Position() Position { panic("TODO") }

// Close releases what the follower holds open.
func (f *Follower) Close() error { panic("TODO") }

// A Retention says what Trim may remove. Zero fields don't bound.
type Retention struct {
	Age   time.Duration // older than this
	Bytes int64         // beyond this size of the journal
	// Held reports whether a segment must stay although age or size would
	// remove it; highest is the highest sequence of each publisher in it. Nil: none.
	Held func(highest bookmark.Vector) bool
}

// Trim removes whole segments from the old end. Floors are durable before a
// segment goes. It returns how many went.
func (j *Journal) Trim(r Retention) (segments int, err error) { panic("TODO") }

// Size returns the bytes on disk. Free those left on the disk.
func (j *Journal) Size() int64          { panic("TODO") }
func (j *Journal) Free() (int64, error) { panic("TODO") }

// Degraded notes an interval in which a sync link was left out (R5). It is kept
// with the journal until retention would have removed its records.
func (j *Journal) Degraded(i Interval) error { panic("TODO") }

// Intervals returns the degraded intervals still remembered, oldest first.
func (j *Journal) Intervals() []Interval { panic("TODO") }

// An Interval is a time in which acks were single towards a destination.
type Interval struct {
	Destination string
	Begin, End  time.Time // End zero: still going on
	Ranges      []Range   // what was settled without the destination, per publisher
}

// Sync waits until all that was appended before the call is durable.
func (j *Journal) Sync() error { panic("TODO") }

// Damage returns what was found damaged at Open with SetAside, or nil; while
// it isn't nil, records are being merged from a peer and from what was set
// aside (R8). Healed tells that the peers have given all they have: the rest
// of what was set aside is taken where it fits, holes that nobody can fill are
// marked Gone, and Damage returns nil from then on.
func (j *Journal) Damage() *seglog.DamageError { panic("TODO") }
func (j *Journal) Healed() error               { panic("TODO") }

// Err returns why the journal has failed, or nil.
func (j *Journal) Err() error { panic("TODO") }

// Close syncs, stops the syncer and releases the directory.
func (j *Journal) Close() error { panic("TODO") }

// Kill releases the directory as a death of the process would: nothing more is written.
func (j *Journal) Kill() error { panic("TODO") }

// A Range is From to To, both included, of one publisher.
type Range struct{ Publisher, From, To uint64 }
