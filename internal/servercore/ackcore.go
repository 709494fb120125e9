package servercore

import (
	"slices"

	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// An AckOut is one persisted ack to a publisher.
type AckOut struct {
	Sequence uint64
	Single   bool
	Failure  bool
	Reason   string
}

// An AckCore decides which persisted acks a publisher gets (G2, R5, R14).
// Successes are cumulative; the failure of a tombstone goes out by itself, after
// the successes before it, and no success passes it before.
type AckCore struct {
	ext      bool
	Received uint64 // highest sequence this session sent, or was told at logon
	Wanted   uint64 // highest for which a persisted ack was asked
	Safe     uint64 // highest acknowledged as safe; to a plain client: acknowledged
	Single   uint64 // highest acknowledged as single
	Failed   uint64 // tombstones up to here were told
	Again    bool   // a duplicate asks where we are
}

// Begin sets what the logon ack said. Tombstones up to told were sent before it.
func (a *AckCore) Begin(ext bool, sequence, told uint64) {
	*a = AckCore{ext: ext, Received: sequence, Wanted: sequence, Safe: sequence, Failed: max(sequence, told)}
}

// Took notes a publish that is on its way into the ledger.
func (a *AckCore) Took(sequence uint64, wanted bool) {
	a.Received = max(a.Received, sequence)
	if wanted || a.ext {
		a.Wanted = max(a.Wanted, sequence)
	}
}

// Duplicate notes a publish that was there before.
func (a *AckCore) Duplicate(sequence uint64, wanted bool) {
	a.Took(sequence, wanted)
	a.Again = a.Again || wanted || a.ext
}

// Outstanding reports whether the session waits for an ack it asked for, given
// what is settled. A store that keeps what is single doesn't wait.
func (a *AckCore) Outstanding() bool { return a.Wanted > max(a.Safe, a.Single) }

// owes reports whether Next may have something to say.
func (a *AckCore) owes() bool { return a.Outstanding() || a.Again || a.Safe < a.Received }

// Next returns the acks to send now, in the memory of out. tombs are the
// tombstones above Failed, in order.
func (a *AckCore) Next(out []AckOut, safe, settled uint64, tombs []ledger.Tombstoned) []AckOut {
	out = out[:0]
	if !a.ext {
		safe = settled
	}
	reach := settled // everything up to here is settled or may be told as failed
	for _, t := range tombs {
		if t.Sequence > a.Received || mut.On(mut.R14AckPasses) {
			break
		}
		if t.Sequence <= a.Failed {
			continue
		}
		out = a.succeed(out, min(safe, t.Sequence-1), min(settled, t.Sequence-1))
		// A plain client takes s-1 as predecessor, so the tombstone itself
		// must be settled; the others name one that is.
		if t.Sequence > reach && (!a.ext || t.Sequence > reach+1) {
			a.Again = false
			return out
		}
		if a.ext || a.Wanted > 0 {
			out = append(out, AckOut{Sequence: t.Sequence, Failure: true, Reason: t.Reason})
		}
		a.Failed = t.Sequence
		reach = max(reach, t.Sequence)
	}
	out = a.succeed(out, min(safe, a.Received), min(settled, a.Received))
	if a.Again && a.Safe > 0 && !slices.ContainsFunc(out, func(o AckOut) bool { return !o.Failure && !o.Single }) {
		out = append(out, AckOut{Sequence: a.Safe})
	}
	a.Again = false
	return out
}

// succeed adds the successes that are new: what is safe and, above that, what
// is settled at level single. The second never hides the first.
func (a *AckCore) succeed(out []AckOut, safe, settled uint64) []AckOut {
	if safe > a.Safe && a.Wanted > a.Safe {
		a.Safe = safe
		out = append(out, AckOut{Sequence: safe})
	}
	if a.ext && settled > max(a.Safe, a.Single) {
		a.Single = settled
		out = append(out, AckOut{Sequence: settled, Single: true})
	}
	return out
}
