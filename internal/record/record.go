package record

import (
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// A Position is a place in a log. It is opaque: positions can be compared, the zero
// Position is before every record, and p+1 is after the record at p and before the next
// one. A Position is valid only in the process that returned it, and never leaves that
// process.
type Position uint64

// A Kind is the meaning of a record. Every record stands for Prev+1 to Sequence of its
// publisher, is admitted by the same rule (R1), and replicates unchanged.
type Kind uint8

const (
	// Message is a publish that was accepted: one number.
	Message Kind = 0x10 + iota
	// Tombstone stands for a publish that was rejected, or for several of them; Reason
	// says why (R14).
	Tombstone
	// Empty stands for a publish that was accepted and leaves nothing to deliver, such as
	// one to /AMPS/devnull: one number.
	Empty
	// Gone stands for numbers that are not on this instance and will not come; Cause says
	// why.
	Gone
	// Elsewhere stands for messages on topics that the link does not carry (R3).
	Elsewhere
)

// Known reports whether k is a kind of this version.
func (k Kind) Known() bool { return k >= Message && k <= Elsewhere }

// OneNumber reports whether a record of the kind stands for one number only.
func (k Kind) OneNumber() bool { return k == Message || k == Empty }

var kindNames = [...]string{"message", "tombstone", "empty", "gone", "elsewhere"}

// String returns the kind's name.
func (k Kind) String() string {
	if !k.Known() {
		return fmt.Sprintf("kind %#x", uint8(k))
	}
	return kindNames[k-Message]
}

// A Cause is the reason why the numbers of a Gone record are not on this instance.
type Cause uint8

const (
	// Removed: retention removed the messages on the instance that reports it (R2).
	Removed Cause = iota
	// LetGo: the publisher let the messages go before the group knew it (R10).
	LetGo
	// Lost: no instance has the messages (R8).
	Lost
	// Closed: removed, and the publisher was not seen for a long time. For a subscription
	// whose place does not name the publisher they are no gap (R10).
	Closed
)

// A Record is one entry of a log. The byte slices of a record that was read share the
// memory from which it was read.
type Record struct {
	Position Position // in the log that it was read from; not part of its bytes
	Next     Position // of the record after it; not part of its bytes
	Time     int64    // when that log took it, in microseconds since the Unix epoch; never decreases; not part of its bytes

	Kind      Kind   // meaning of the record
	Publisher uint64 // id of its publisher
	Sequence  uint64 // 0: the log numbers it
	Prev      uint64 // predecessor: Sequence-1, or less if the record stands for several numbers

	Topic         []byte // of a message or tombstone
	Body          []byte // of a message
	CorrelationID []byte // x
	SOWKey        []byte // k
	Expiration    uint32 // e, seconds
	Headers       []byte // encoded, see Headers; within the limits
	Delta         bool   // delta_publish
	Sum           uint32 // of the content, as the bytes claim; see SumMatches

	Reason     []byte // of Tombstone; of Gone if its numbers are refused: why
	User       []byte // who published it; of a Gone record that a link makes: the publisher's owner; empty: not known
	RunningCRC uint32 // of Gone: the publisher's running CRC at Sequence (R11)
	Cause      Cause  // of Gone

	// Check is the check of the publisher. A log keeps it with the first record of a
	// publisher and leaves it out of the others.
	Check bookmark.Check

	// Raw has the record's bytes. It is set in a record that was read.
	Raw []byte
}
