package record

import (
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// A Position is a place in a log. It is opaque: positions can be compared, the zero
// Position stands before every record, and p+1 stands behind a record at p and before
// the next one. A Position is valid for as long as the process that gave it runs, and
// never leaves it.
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

// Known reports whether k is a kind of this version.
func (k Kind) Known() bool { return k >= Message && k <= Elsewhere }

// Single reports whether a record of the kind stands for one number only.
func (k Kind) Single() bool { return k == Message || k == Empty }

var kindNames = [...]string{"message", "tombstone", "empty", "gone", "elsewhere"}

// String returns the kind's name.
func (k Kind) String() string {
	if !k.Known() {
		return fmt.Sprintf("kind %#x", uint8(k))
	}
	return kindNames[k-Message]
}

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

// A Record is one entry of a log. The byte slices of one that was read share the
// memory of what it was read from.
type Record struct {
	Position Position // in the log that it was read from, not part of its bytes
	Next     Position // of the record behind it, likewise
	Time     int64    // microseconds since the Unix epoch when that log took it, likewise; never goes back

	Kind      Kind
	Publisher uint64
	Sequence  uint64 // 0 in what is to be numbered
	Prev      uint64 // predecessor: Sequence-1, less in a record that stands for several

	Topic         []byte
	Body          []byte
	CorrelationID []byte // x
	SOWKey        []byte // k
	Expiration    uint32 // e, seconds
	Delta         bool   // delta_publish
	Sum           uint32 // of the content, as the bytes say; see Sound

	Reason     []byte // Tombstone; Gone: why all that it stands for is refused, if it is
	User       []byte // publisher's user id, may be empty
	RunningCRC uint32 // Gone: the publisher's running CRC at Sequence (R11)
	Cause      Cause  // Gone

	// Check is the publisher's. A log keeps it with the first record of a
	// publisher and leaves it out of the others.
	Check bookmark.Check

	// Raw is the record's bytes. Set on records that were read.
	Raw []byte
}
