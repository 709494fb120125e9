package servercore

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/route"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A sub is a subscription of a session: its decisions, and its follower while it is behind. From
// startReading on it belongs to the writer.
type sub struct {
	route.Subscription
	id   string // of the subscribe command
	acks wire.AckType

	follower         ledger.Follower   // nil: the subscription is live, or parked
	parkedAt         ledger.Position   // if parked: where it continues
	alone            topic.Table[*sub] // holds this subscription only, to remember which topics match
	record           ledger.Record
	awaitsSafe       bool                    // record was read and waits until it is safe
	heldBackReported bool                    // the client knows that the next message waits for a downgraded destination
	ended            *atomic.Bool            // the ended of the session
	mayKnow          func(topic []byte) bool // the mayKnow of the session
	interest         *interest               // entry in the registry; nil: none. Guarded by the registry's mu
	charged          int                     // memory charged to the session's account; guarded by its mu
	lastMark         time.Time
	candidate        bookmark.Bookmark // for the next mark to a plain client, once it is settled
	diverged         map[uint64]bool   // diverged publishers that the subscription was told of; nil: none
	progress         progress          // for the status
}

// matches returns a function that reports whether a removed message on a topic concerns the
// subscription (R9).
func (b *sub) matches() func(topic []byte) bool {
	if failpoint.On(failpoint.R9AnyTopicGap) {
		return func([]byte) bool { return true }
	}
	return func(topic []byte) bool { return !b.ended.Load() && b.Pattern.Match(topic) && b.mayKnow(topic) }
}

// park takes the follower away from a subscription that is behind, until its next turn. It returns
// the position of the record that the subscription holds until it is safe, or else awaited.
func (s *Session) park(b *sub, awaited ledger.Position) ledger.Position {
	if b.follower == nil {
		return awaited
	}
	b.parkedAt = b.follower.Position()
	if b.awaitsSafe {
		b.parkedAt, b.awaitsSafe = b.record.Position, false
		awaited = b.parkedAt
	}
	b.record = ledger.Record{}
	if s.writer.spare == nil {
		s.writer.spare, b.follower = b.follower, nil
	}
	closeFollower(&b.follower)
	return awaited
}

// unpark gives a parked subscription a follower again.
func (s *Session) unpark(b *sub) {
	switch {
	case b.follower != nil:
	case s.writer.spare != nil:
		b.follower, s.writer.spare = s.writer.spare, nil
		b.follower.Seek(b.parkedAt)
	default:
		b.follower = s.inst.Ledger.Follow(b.parkedAt)
	}
}

// startReading gives a subscription a follower of its own that begins at from. The subscription is
// new, or retention has overtaken it. It becomes live once it has read everything.
func (s *Session) startReading(b *sub, from ledger.Position, now time.Time) {
	b.follower = s.inst.Ledger.Follow(from)
	b.awaitsSafe = false
	b.noteProgress()
	s.chargeSub(b)
	if b.alone.Len() == 0 {
		b.alone.MaxBytes = aloneBytes
		b.alone.Add(b.Pattern, b)
		b.lastMark = now
	}
	s.writer.behind = append(s.writer.behind, b)
	s.inst.Registry.setInterest(s, b, true)
	s.registerInterest()
}

// removeSub ends a subscription.
func (s *Session) removeSub(b *sub) {
	s.detachSub(b)
	s.registerInterest()
}

// detachSub stops reading for a subscription and forgets it, except for registerInterest.
func (s *Session) detachSub(b *sub) {
	w := &s.writer
	closeFollower(&b.follower)
	s.inst.Registry.setInterest(s, b, false)
	s.creditSub(b)
	w.behind = slices.DeleteFunc(w.behind, func(o *sub) bool { return o == b })
	w.table.Remove(b)
	if w.table.Len() == 0 {
		closeFollower(&w.shared)
	}
}

// registerInterest tells the registry which events must wake the session.
func (s *Session) registerInterest() {
	w := &s.writer
	durable := slices.ContainsFunc(w.behind, func(b *sub) bool { return b.Options.FullyDurable })
	s.inst.Registry.setWakeups(s, len(w.behind)+w.table.Len() > 0, durable)
}
