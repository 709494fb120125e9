// Package route says which messages belong to which subscription: its options,
// and the pure core that decides of each record of the journal whether a
// subscription gets it. It has no goroutines, clocks, files or sockets.
package route

import (
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// Start is where a subscription begins.
type Start struct {
	From   ledger.Position // where its follower begins
	After  ledger.Position // records that stand before it aren't its own
	Target ledger.Position // the replay is completed there
	Seen   bookmark.Vector // what it doesn't need, by vector or in a list; else nil
	Passed bookmark.Vector // the part of Seen that the subscriber is to learn by a mark; nil: none
}

// A Subscription decides which records of the journal one subscriber gets and
// what the next progress mark says (R9). It has no idea of time or of
// connections. It isn't safe for concurrent use.
type Subscription struct {
	ID       string
	Pattern  topic.Pattern
	Options  Options
	Bookmark bool // begins at a bookmark: messages that aren't logged are none of its

	after  ledger.Position
	target ledger.Position
	// What the subscriber has; without vector, what its list has said, for good.
	seen bookmark.Vector
	// Vector only: the part of seen that moved since the last mark, and what it has
	// passed since then of publishers that seen does not name, none of it for the
	// subscription.
	moved, others bookmark.Vector
	moving        bookmark.Bookmark // what is to be noted in seen and moved, see settle; zero: nothing
	last          bookmark.Bookmark // the newest passed
	shown         bookmark.Bookmark // the newest that it got
	matched       bookmark.Bookmark // the newest whose topic matches
	passed        int               // records since the last mark
	completed     bool
}

// Begin sets where the subscription begins. It keeps the map start.Seen.
func (s *Subscription) Begin(start Start) {
	s.after, s.target, s.seen, s.moving = start.After, start.Target, start.Seen, bookmark.Bookmark{}
	if s.Options.Vector {
		s.moved = start.Passed.Clone()
		if s.seen == nil {
			s.seen = bookmark.Vector{}
		}
		s.others = bookmark.Vector{}
	}
}

// BecomeLive notes that everything before at has been passed, and that what
// follows comes with the shared follower, which may stand before it.
func (s *Subscription) BecomeLive(at ledger.Position) {
	s.after = max(s.after, at)
}

// Wants reports whether the subscriber is to get r, whose topic matches. Then it
// counts as shown.
func (s *Subscription) Wants(r *ledger.Record) bool {
	if r.Kind != ledger.Message || r.Position < s.after {
		return false
	}
	b := bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence}
	if b.Sequence <= s.seenOf(b.Publisher) && (s.Options.Vector || !mut.On(mut.R9PlainListRepeats)) {
		return false
	}
	s.shown = b
	return true
}

// Matched notes that the topic of r, a message that is passed next, matches.
func (s *Subscription) Matched(r *ledger.Record) {
	s.matched = bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence}
}

// leavesOut reports whether r is no reason to name its publisher in the place: it
// is not for the subscription.
func (s *Subscription) leavesOut(r *ledger.Record) bool {
	switch r.Kind {
	case ledger.Message:
		return s.matched != s.last
	case ledger.Tombstone, ledger.Empty:
		return true
	}
	return false
}

// Pass moves the subscription past r, whether it was wanted or not. The gap is
// what the subscriber has missed for ever if r says so: the middle of what it
// follows was removed by retention elsewhere before it came here. It ends a
// subscription that does not accept gaps, which then has not passed r.
func (s *Subscription) Pass(r *ledger.Record) (gap wire.Gap, missed bool) {
	if r.Position < s.after {
		return wire.Gap{}, false
	}
	s.passed++
	s.last = bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence}
	if !s.Options.Vector {
		return wire.Gap{}, false
	}
	seen := s.seenOf(r.Publisher)
	switch {
	case r.Sequence <= seen:
		return wire.Gap{}, false
	case seen == 0 && s.leavesOut(r):
		s.others[r.Publisher] = r.Sequence
		return wire.Gap{}, false
	}
	if missed = r.Kind == ledger.Gone && misses(r.Cause, seen); missed {
		gap = wire.Gap{Publisher: r.Publisher, From: max(seen, r.Prev) + 1, To: r.Sequence}
	}
	if missed && !s.AcceptsGaps() {
		return gap, true
	}
	if r.Publisher != s.moving.Publisher {
		s.settle()
	}
	s.moving = s.last
	return gap, missed
}

// settle notes in seen and moved how far the publisher has moved whose messages came last:
// most often the next one is of the same.
func (s *Subscription) settle() {
	if m := s.moving; !m.IsZero() {
		s.seen[m.Publisher], s.moved[m.Publisher] = m.Sequence, m.Sequence
		s.moving = bookmark.Bookmark{}
	}
}

// seenOf returns what the subscriber has of a publisher.
func (s *Subscription) seenOf(publisher uint64) uint64 {
	if publisher == s.moving.Publisher && !s.moving.IsZero() {
		return s.moving.Sequence
	}
	return s.seen[publisher]
}

// misses reports whether a subscriber that has a publisher up to seen is told
// of what is gone for that cause. Of a publisher that it has nothing of, what was
// let go before anyone here knew it is none of its, and what was removed of one that
// was closed: it may have been done with that (R10).
func misses(cause ledger.Cause, seen uint64) bool {
	switch {
	case mut.On(mut.R9SilentGap), mut.On(mut.R9LostUntold) && cause == ledger.Lost && seen == 0:
		return false
	}
	return seen > 0 || cause != ledger.LetGo && (cause != ledger.Closed || mut.On(mut.R10ClosedIsRemoved))
}

// AcceptsGaps reports whether the subscription goes on behind a gap.
func (s *Subscription) AcceptsGaps() bool { return s.Options.NotFound == NotFoundEpoch }

// Skip counts as shown what the subscriber has missed for ever, and accepts.
func (s *Subscription) Skip(gaps []wire.Gap) {
	s.settle()
	for _, g := range gaps {
		s.seen[g.Publisher] = max(s.seen[g.Publisher], g.To)
		s.moved[g.Publisher] = s.seen[g.Publisher]
	}
}

// Seen returns what the subscriber doesn't need, of a subscription by vector.
func (s *Subscription) Seen() bookmark.Vector {
	s.settle()
	return s.seen
}

// Named returns how many publishers the subscription keeps a number of.
func (s *Subscription) Named() int {
	s.settle()
	return len(s.seen) + len(s.moved) + len(s.others)
}

// BecomeCatchingUp notes that it has a follower of its own again, which begins
// at a place where its vector covers everything before.
func (s *Subscription) BecomeCatchingUp(from ledger.Position) {
	s.after = from
}

// Reached reports, once, that the replay has got to where the journal ended
// when the subscription began; next is where the next record stands.
func (s *Subscription) Reached(next ledger.Position) bool {
	if s.completed || next < s.target {
		return false
	}
	s.completed = true
	return true
}

// Last returns the newest message that was passed.
func (s *Subscription) Last() bookmark.Bookmark { return s.last }

// Shown returns the newest message that the subscriber got.
func (s *Subscription) Shown() bookmark.Bookmark {
	if mut.On(mut.R9CompletedNamesAny) {
		return s.last
	}
	return s.shown
}

// Passed returns how many records were passed since the last mark.
func (s *Subscription) Passed() int { return s.passed }

// Name has the next mark name the publishers of which nothing that was passed was
// for the subscription, unless leaveOut says that the place need not name them.
func (s *Subscription) Name(leaveOut func(publisher uint64) bool) {
	for publisher, sequence := range s.others {
		if s.seenOf(publisher) == 0 && !leaveOut(publisher) {
			s.seen[publisher], s.moved[publisher] = sequence, sequence
		}
	}
	clear(s.others)
}

// Moved reports whether there may be something to say in a mark.
func (s *Subscription) Moved() bool {
	if s.Options.Vector {
		return len(s.moved)+len(s.others) > 0 || !s.moving.IsZero()
	}
	return s.passed > 0
}

// Mark appends the text of a progress mark, nothing if there is nothing to say, and
// begins the next one.
func (s *Subscription) Mark(dst []byte) []byte {
	s.passed = 0
	if !s.Options.Vector {
		return s.last.AppendText(dst)
	}
	if s.settle(); len(s.moved) > 0 {
		dst = s.moved.AppendText(dst)
		clear(s.moved)
	}
	return dst
}

// Target returns where the replay is completed.
func (s *Subscription) Target() ledger.Position { return s.target }

// Completed reports whether the replay has got there.
func (s *Subscription) Completed() bool { return s.completed }
