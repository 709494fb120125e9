package journal

import (
	"errors"

	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// A Position is a place in one instance's journal. It never leaves it.
type Position = seglog.Position

// A Kind says what a record stands for. Every kind has publisher, sequence
// and predecessor, is admitted by the same rule (R1) and replicates as is.
type Kind uint8

const (
	// Message is a publish that was taken.
	Message Kind = 0x10 + iota
	// Tombstone is a publish that was refused; Reason says why (R14).
	Tombstone
	// Empty is a publish that was taken and leaves nothing to deliver, such as one to /AMPS/devnull.
	Empty
	// Gone stands for everything of its publisher up to Sequence: removed by
	// retention (R2), let go before anyone here knew the publisher (R10), or
	// damaged on every disk (R8).
	Gone
	// Elsewhere stands for Prev+1 to Sequence of its publisher: messages of topics the link does not carry (R3).
	Elsewhere
)

// A Record is one entry of the journal. The byte slices are valid until the
// next call on what returned the record.
type Record struct {
	Position Position // of this instance, not part of what is replicated
	Next     Position // of the record behind it, likewise
	Time     int64    // microseconds since the Unix epoch when this instance took it; never goes back

	Kind      Kind
	Publisher uint64
	Sequence  uint64 // 0 in Append: the next one of the publisher
	Prev      uint64 // predecessor; 0 in Gone

	Topic         []byte
	Body          []byte
	Reason        []byte // Tombstone; Gone: why all that it stands for is refused, if it is
	User          []byte // publisher's user id, may be empty
	CorrelationID []byte // x
	SOWKey        []byte // k
	Expiration    uint32 // e, seconds
	Delta         bool   // delta_publish
	RunningCRC    uint32 // Gone: the publisher's running CRC at Sequence (R11)

	// Raw is the record as it goes over a link: everything above but
	// Position, Next and Time. Set on records that were read.
	Raw []byte
}

// CRC returns the CRC of what a message says (R11), which is the same on every
// instance; 0 of other kinds.
func (r *Record) CRC() uint32 { return messageCRC(r) }

// A Verdict is what admission says of a record (R1).
type Verdict uint8

const (
	// Take: prev <= have < sequence.
	Take Verdict = iota + 1
	// Duplicate: the journal has it; answer with the watermark.
	Duplicate
	// Hole: what stands before it is missing; nothing is written or acknowledged.
	Hole
	// Differs: the journal has the identity with other content (R11).
	Differs
)

// admit is the rule of R1: a message is taken only if its predecessor is here
// and it is not.
func admit(have, prev, sequence uint64) Verdict {
	switch {
	case sequence <= have:
		return Duplicate
	case prev > have:
		return Hole
	}
	return Take
}

// ErrClosed reports the use of a closed journal.
var ErrClosed = errors.New("journal is closed")
