package server

import (
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// An ackOut is one persisted ack to a publisher.
type ackOut struct {
	sequence uint64
	single   bool
	failure  bool
	reason   string
}

// An ackCore decides which persisted acks a publisher gets (G2, R5, R14).
// Successes are cumulative; the failure of a tombstone goes out by itself, after
// the successes before it, and no success passes it before.
type ackCore struct {
	ext      bool
	received uint64 // highest sequence this session sent, or was told at logon
	wanted   uint64 // highest for which a persisted ack was asked
	safe     uint64 // highest acknowledged; of a plain client: at all
	single   uint64 // highest acknowledged as single
	failed   uint64 // tombstones up to here were told
	again    bool   // a duplicate asks where we are
}

// begin sets what the logon ack said. Tombstones up to told were sent before it.
func (a *ackCore) begin(ext bool, sequence, told uint64) {
	*a = ackCore{ext: ext, received: sequence, wanted: sequence, safe: sequence, failed: max(sequence, told)}
}

// took notes a publish that is on its way into the journal.
func (a *ackCore) took(sequence uint64, wanted bool) {
	a.received = max(a.received, sequence)
	if wanted || a.ext {
		a.wanted = max(a.wanted, sequence)
	}
}

// duplicate notes a publish that was there before.
func (a *ackCore) duplicate(sequence uint64, wanted bool) {
	a.took(sequence, wanted)
	a.again = a.again || wanted || a.ext
}

// outstanding reports whether the session waits for an ack it asked for, given
// what is settled. A store that keeps what is single doesn't wait.
func (a *ackCore) outstanding() bool { return a.wanted > max(a.safe, a.single) }

// next returns the acks to send now. tombs are the tombstones above a.failed,
// in order.
func (a *ackCore) next(safe, settled uint64, tombs []journal.Tombstoned) []ackOut {
	var out []ackOut
	if !a.ext {
		safe = settled
	}
	reach := settled // everything up to here is settled or may be told as failed
	for _, t := range tombs {
		if t.Sequence > a.received || mut.On(mut.R14AckPasses) {
			break
		}
		if t.Sequence <= a.failed {
			continue
		}
		out = a.succeed(out, min(safe, t.Sequence-1), min(settled, t.Sequence-1))
		// A plain client takes s-1 as predecessor, so the tombstone itself
		// must be settled; the others name one that is.
		if t.Sequence > reach && (!a.ext || t.Sequence > reach+1) {
			a.again = false
			return out
		}
		if a.ext || a.wanted > 0 {
			out = append(out, ackOut{sequence: t.Sequence, failure: true, reason: t.Reason})
		}
		a.failed = t.Sequence
		reach = max(reach, t.Sequence)
	}
	out = a.succeed(out, min(safe, a.received), min(settled, a.received))
	if a.again && a.safe > 0 && !hasSuccess(out) {
		out = append(out, ackOut{sequence: a.safe})
	}
	a.again = false
	return out
}

// succeed adds the successes that are new: what is safe and, above that, what
// is settled at level single. The second never hides the first.
func (a *ackCore) succeed(out []ackOut, safe, settled uint64) []ackOut {
	if safe > a.safe && a.wanted > a.safe {
		a.safe = safe
		out = append(out, ackOut{sequence: safe})
	}
	if a.ext && settled > max(a.safe, a.single) {
		a.single = settled
		out = append(out, ackOut{sequence: settled, single: true})
	}
	return out
}

func hasSuccess(out []ackOut) bool {
	for _, o := range out {
		if !o.failure && !o.single {
			return true
		}
	}
	return false
}
