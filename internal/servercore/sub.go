package servercore

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/route"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A sub is a subscription of a session: its decisions, and the follower it
// reads with while it is behind. From add on it belongs to the writer.
type sub struct {
	route.Subscription
	id   string // of the command
	acks wire.AckType

	follower  ledger.Follower   // nil: with the shared one, or at rest
	at        ledger.Position   // at rest: where it reads on
	alone     topic.Table[*sub] // itself, to remember which topics match
	record    ledger.Record
	holding   bool         // record was read and waits until it is safe
	waits     bool         // the client knows that it may have to wait long
	ended     *atomic.Bool // of its session
	interest  *interest    // where the registry has it; nil: nowhere. Guarded by the registry's mu
	charged   int          // bytes of the session's account; guarded by its mu
	lastMark  time.Time
	candidate bookmark.Bookmark // for a mark, when it is settled
	diverged  map[uint64]bool   // publishers of which it was told that they have diverged; nil: none
}

// matches says which topics of removed messages concern the subscription (R9).
func (b *sub) matches() func(topic []byte) bool {
	if mut.On(mut.R9AnyTopicGap) {
		return func([]byte) bool { return true }
	}
	return func(topic []byte) bool { return !b.ended.Load() && b.Pattern.Match(topic) }
}

// rest takes the follower of a subscription that is behind, until its next turn. It
// returns the position of the record that it holds, or another one that is held.
func (s *Session) rest(b *sub, held ledger.Position) ledger.Position {
	if b.follower == nil {
		return held
	}
	b.at = b.follower.Position()
	if b.holding {
		b.at, b.holding = b.record.Position, false
		held = b.at
	}
	b.record = ledger.Record{}
	if s.writer.spare == nil {
		s.writer.spare, b.follower = b.follower, nil
	}
	closeFollower(&b.follower)
	return held
}

// wakeUp ends the rest of a subscription.
func (s *Session) wakeUp(b *sub) {
	switch {
	case b.follower != nil:
	case s.writer.spare != nil:
		b.follower, s.writer.spare = s.writer.spare, nil
		b.follower.Seek(b.at)
	default:
		b.follower = s.inst.Ledger.Follow(b.at)
	}
}

// add has a subscription read from a position on: one that begins, or one that
// retention has overtaken. It reads with a follower of its own and joins the
// others as soon as it has nothing left to read.
func (s *Session) add(b *sub, from ledger.Position, now time.Time) {
	b.follower = s.inst.Ledger.Follow(from)
	b.holding = false
	s.weigh(b)
	if b.alone.Len() == 0 {
		b.alone.Most = aloneBytes
		b.alone.Add(b.Pattern, b)
		b.lastMark = now
	}
	s.writer.behind = append(s.writer.behind, b)
	s.inst.Registry.interested(s, b, true)
	s.registerInterest()
}

// remove ends a subscription.
func (s *Session) remove(b *sub) {
	s.drop(b)
	s.registerInterest()
}

// drop takes a subscription from among those that are served.
func (s *Session) drop(b *sub) {
	w := &s.writer
	closeFollower(&b.follower)
	s.inst.Registry.interested(s, b, false)
	s.release(b)
	w.behind = slices.DeleteFunc(w.behind, func(o *sub) bool { return o == b })
	w.table.Remove(b)
	if w.table.Len() == 0 {
		closeFollower(&w.shared)
	}
}

// registerInterest says what must wake the session.
func (s *Session) registerInterest() {
	w := &s.writer
	durable := slices.ContainsFunc(w.behind, func(b *sub) bool { return b.Options.FullyDurable })
	s.inst.Registry.follows(s, len(w.behind)+w.table.Len() > 0, durable)
}
