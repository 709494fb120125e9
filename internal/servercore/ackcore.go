package servercore

import (
	"slices"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

// A PersistedAck is one persisted ack to a publisher.
type PersistedAck struct {
	Sequence uint64
	Single   bool
	Failure  bool
	Reason   string
}

// An AckCore decides which persisted acks a publisher gets: only for messages that are safe or, at
// level single, settled (G2, R5). Acks of success are cumulative. Each tombstone gets an ack of
// failure, in the order of the sequences: after the successes below it, and before those above it
// (R14).
type AckCore struct {
	ext             bool
	Received        uint64 // highest sequence that this session has sent, or that the logon ack named
	Wanted          uint64 // highest sequence whose persisted ack was requested
	Safe            uint64 // highest sequence acknowledged as safe; for a plain client: acknowledged
	Single          uint64 // highest sequence acknowledged at level single
	Failed          uint64 // failures of tombstones up to here were sent
	RepeatWatermark bool   // the current watermark is due again, because a duplicate came
}

// Begin sets the state after the logon ack, which named sequence. The failures of tombstones up to
// failed were sent before it.
func (a *AckCore) Begin(ext bool, sequence, failed uint64) {
	*a = AckCore{ext: ext, Received: sequence, Wanted: sequence, Safe: sequence, Failed: max(sequence, failed)}
}

// TrackPublish notes a publish that is about to be appended to the ledger.
func (a *AckCore) TrackPublish(sequence uint64, wanted bool) {
	a.Received = max(a.Received, sequence)
	if wanted || a.ext {
		a.Wanted = max(a.Wanted, sequence)
	}
}

// TrackDuplicate notes a publish that the ledger already had.
func (a *AckCore) TrackDuplicate(sequence uint64, wanted bool) {
	a.TrackPublish(sequence, wanted)
	a.RepeatWatermark = a.RepeatWatermark || wanted || a.ext
}

// Outstanding reports whether an ack that the client requested has not been sent. An ack at level
// single counts as sent, because the client's store keeps such messages.
func (a *AckCore) Outstanding() bool { return a.Wanted > max(a.Safe, a.Single) }

// mayHaveAcks reports whether Next may return acks.
func (a *AckCore) mayHaveAcks() bool {
	return a.Outstanding() || a.RepeatWatermark || a.Safe < a.Received
}

// Next returns the acks to send now; it reuses the memory of out. tombs are the tombstones above
// Failed, in order.
func (a *AckCore) Next(out []PersistedAck, safe, settled uint64, tombs []ledger.Refusal) []PersistedAck {
	out = out[:0]
	if !a.ext {
		safe = settled
	}
	reach := settled // every number up to here is settled or its failure may be sent
	for _, t := range tombs {
		if t.Sequence > a.Received || failpoint.On(failpoint.R14AckPasses) {
			break
		}
		if t.Sequence <= a.Failed {
			continue
		}
		out = a.appendSuccesses(out, min(safe, t.Sequence-1), min(settled, t.Sequence-1))
		// A plain client's next message has the tombstone as its predecessor, so the tombstone
		// itself must be settled. An extended client can leave a rejected number out (R1), so for
		// it a settled predecessor is enough.
		if t.Sequence > reach && (!a.ext || t.Sequence > reach+1) {
			a.RepeatWatermark = false
			return out
		}
		if a.ext || a.Wanted > 0 {
			out = append(out, PersistedAck{Sequence: t.Sequence, Failure: true, Reason: t.Reason})
		}
		a.Failed = t.Sequence
		reach = max(reach, t.Sequence)
	}
	out = a.appendSuccesses(out, min(safe, a.Received), min(settled, a.Received))
	if a.RepeatWatermark && a.Safe > 0 && !slices.ContainsFunc(out, func(o PersistedAck) bool { return !o.Failure && !o.Single }) {
		out = append(out, PersistedAck{Sequence: a.Safe})
	}
	a.RepeatWatermark = false
	return out
}

// appendSuccesses appends the new successes: the safe watermark and, above it, the settled
// watermark at level single. The second never replaces the first.
func (a *AckCore) appendSuccesses(out []PersistedAck, safe, settled uint64) []PersistedAck {
	if safe > a.Safe && a.Wanted > a.Safe {
		a.Safe = safe
		out = append(out, PersistedAck{Sequence: safe})
	}
	if a.ext && settled > max(a.Safe, a.Single) {
		a.Single = settled
		out = append(out, PersistedAck{Sequence: settled, Single: true})
	}
	return out
}
