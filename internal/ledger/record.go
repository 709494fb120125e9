package ledger

import (
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// A Position is a place in a ledger. It is opaque: positions can be compared,
// the zero Position stands before every record, and p+1 stands behind a record
// at p and before the next one. A Position is valid for as long as the instance
// that gave it runs, and never leaves it.
type Position uint64

// A Kind says what a record stands for. Every record stands for Prev+1 to
// Sequence of its publisher, is admitted by the same rule (R1) and replicates as is.
type Kind uint8

const (
	// Message is a publish that was taken: one number.
	Message Kind = 0x10 + iota
	// Tombstone is a publish that was refused, or several; Reason says why (R14).
	Tombstone
	// Empty is a publish that was taken and leaves nothing to deliver, such as one to /AMPS/devnull: one number.
	Empty
	// Gone is what is not here and does not come; Cause says why.
	Gone
	// Elsewhere is messages of topics the link does not carry (R3).
	Elsewhere
)

// A Cause says why what a Gone record stands for is not here.
type Cause uint8

const (
	// Removed by retention, on the instance that says so (R2).
	Removed Cause = iota
	// LetGo by its publisher, before anyone here knew it (R10).
	LetGo
	// Lost: nobody has it (R8).
	Lost
	// Closed: removed, and its publisher was not seen for long since: those whose
	// place does not name it are told nothing (R10).
	Closed
)

// A Record is one entry of a ledger. The byte slices are valid until the next
// call on the value that returned the record.
type Record struct {
	Position Position // of this instance, not part of what is replicated
	Next     Position // of the record behind it, likewise
	Time     int64    // microseconds since the Unix epoch when this instance took it; never goes back

	Kind      Kind
	Publisher uint64
	Sequence  uint64 // 0 in Append: the next one of the publisher
	Prev      uint64 // predecessor: Sequence-1, less in a record that stands for several

	Topic         []byte
	Body          []byte
	Reason        []byte // Tombstone; Gone: why all that it stands for is refused, if it is
	User          []byte // publisher's user id, may be empty
	CorrelationID []byte // x
	SOWKey        []byte // k
	Expiration    uint32 // e, seconds
	Delta         bool   // delta_publish
	RunningCRC    uint32 // Gone: the publisher's running CRC at Sequence (R11)
	Cause         Cause  // Gone

	// Check is the publisher's. A ledger keeps it with the first record of a
	// publisher and leaves it out of the others.
	Check bookmark.Check

	// Raw is the record as it goes over a link: everything above but
	// Position, Next and Time. Set on records that were read.
	Raw []byte
}

// A Verdict is the answer of admission to a record (R1).
type Verdict uint8

const (
	// Take: prev <= have < sequence.
	Take Verdict = iota + 1
	// Duplicate: the ledger has it, the same kind and content.
	Duplicate
	// Hole: a record before it is missing; nothing is written or acknowledged.
	Hole
	// Differs: the ledger has the identity as another kind or with other content (R11).
	Differs
	// OtherPublisher: the ledger has another publisher under this id (R10).
	OtherPublisher
	// Covered: it is at or below have, and its content is not remembered: a
	// Standing says more.
	Covered
	// Diverged: the publisher has diverged, nothing of it is taken any more (R11).
	Diverged
)

// A Standing says what stands at a number at or below have(p).
type Standing struct {
	Kind   Kind   // 0: nothing can be said
	Same   bool   // it is the same kind and content as what was asked about
	Cause  Cause  // of Gone
	Reason string // of Tombstone
	Listed bool   // it is among Log.Tombstones
}

// A Tombstoned names a refused message that its publisher may still keep.
type Tombstoned struct {
	Sequence uint64
	Reason   string
}

// Known reports whether k is a kind of this version.
func (k Kind) Known() bool { return k >= Message && k <= Elsewhere }

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case Message:
		return "message"
	case Tombstone:
		return "tombstone"
	case Empty:
		return "empty"
	case Gone:
		return "gone"
	case Elsewhere:
		return "elsewhere"
	}
	return fmt.Sprintf("kind %#x", uint8(k))
}
