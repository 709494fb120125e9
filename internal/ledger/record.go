package ledger

import "github.com/holdfast-mq/holdfast/internal/record"

// The records of a ledger (see [record.Record]). A ledger keeps a publisher's check with its first
// record and leaves it out of the others. The byte slices of a record are valid until the next call
// on the value that returned it.
type (
	Position = record.Position
	Kind     = record.Kind
	Cause    = record.Cause
	Record   = record.Record
)

const (
	Message   = record.Message
	Tombstone = record.Tombstone
	Empty     = record.Empty
	Gone      = record.Gone
	Elsewhere = record.Elsewhere

	Removed = record.Removed
	LetGo   = record.LetGo
	Lost    = record.Lost
	Closed  = record.Closed
)

// A Verdict is the answer of admission to a record (R1).
type Verdict uint8

const (
	// Accepted: prev <= have < sequence.
	Accepted Verdict = iota + 1
	// Duplicate: the ledger has the record, of the same kind and content.
	Duplicate
	// Hole: an earlier record is missing. Nothing is written or acknowledged.
	Hole
	// Differs: the ledger has the identity with another kind or content (R11).
	Differs
	// OtherPublisher: the ledger has another publisher under this id (R10).
	OtherPublisher
	// ContentUnknown: the number is at or below have, and its content is not in memory. Lookup says
	// more.
	ContentUnknown
	// Diverged: the publisher has diverged, so the ledger takes nothing more of it (R11).
	Diverged
)

// A RecordInfo describes the record at a number at or below have(p).
type RecordInfo struct {
	Kind   Kind   // 0: nothing is known
	Same   bool   // the record has the same kind and content as the one passed to Lookup
	Cause  Cause  // if Kind is Gone
	Reason string // if Kind is Tombstone
	Listed bool   // the record is among Log.Tombstones
}

// A Refusal names a rejected message that its publisher may still keep.
type Refusal struct {
	Sequence uint64
	Reason   string
}
