package journal

import (
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// A Position is a place in the journal of one instance. It never leaves that instance.
type Position = seglog.Position

// The journal uses the records of package ledger.
type (
	Kind       = ledger.Kind
	Record     = ledger.Record
	Refusal    = ledger.Refusal
	Verdict    = ledger.Verdict
	Cause      = ledger.Cause
	RecordInfo = ledger.RecordInfo
)

const (
	Message   = ledger.Message
	Tombstone = ledger.Tombstone
	Empty     = ledger.Empty
	Gone      = ledger.Gone
	Elsewhere = ledger.Elsewhere

	Accepted       = ledger.Accepted
	Duplicate      = ledger.Duplicate
	Hole           = ledger.Hole
	Differs        = ledger.Differs
	ContentUnknown = ledger.ContentUnknown
	Diverged       = ledger.Diverged

	Removed = ledger.Removed
	LetGo   = ledger.LetGo
	Lost    = ledger.Lost
	Closed  = ledger.Closed

	OtherPublisher = ledger.OtherPublisher
)

// ContentCRC returns the sum of a message's content (R11), which is the same on every
// instance. For other kinds it returns 0.
func ContentCRC(r *Record) uint32 {
	if r.Kind != Message {
		return 0
	}
	return contentSum(r)
}

// admit enforces that a journal holds prefixes only (R1): it accepts a record if the
// predecessor is here and the record is not.
func admit(have, prev, sequence uint64) Verdict {
	switch {
	case sequence <= have:
		return Duplicate
	case prev > have:
		return Hole
	}
	return Accepted
}

// ErrClosed reports the use of a closed journal.
var ErrClosed = ledger.ErrClosed
