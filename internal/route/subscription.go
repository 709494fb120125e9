// Package route decides which messages a subscription gets. It parses the options of a subscribe,
// and decides for each record of the journal whether a subscription gets it. The package has no
// goroutines, clocks, files or sockets.
package route

import (
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A Start says where a subscription begins.
type Start struct {
	From   ledger.Position // its follower begins here
	After  ledger.Position // records before this position are not delivered
	Target ledger.Position // the replay is complete here
	Seen   bookmark.Vector // numbers that the subscriber does not need, by vector or list; nil: none
	Passed bookmark.Vector // part of Seen that the next mark must name; nil: none
}

// A Subscription decides which records of the journal one subscriber gets, and the content of its
// progress marks (R9). It knows neither time nor connections. It is not safe for concurrent use.
type Subscription struct {
	ID       string
	Pattern  topic.Pattern
	Options  Options
	Bookmark bool // starts at a bookmark, so it gets logged messages only

	after  ledger.Position
	target ledger.Position
	// seen has the numbers that the subscriber has. Without the option vector it has the numbers
	// of the bookmark list and does not change.
	seen bookmark.Vector
	// Only with the option vector: moved is the part of seen that has moved since the last mark.
	// unnamed has the numbers passed since then of publishers that seen does not name, if none of
	// their messages was for the subscription.
	moved, unnamed bookmark.Vector
	current        bookmark.Bookmark // the newest number passed of the current publisher, not yet in seen and moved, see storeCurrent; zero: none
	last           bookmark.Bookmark // the newest record passed
	shown          bookmark.Bookmark // the newest message that the subscriber got
	matched        bookmark.Bookmark // the newest message whose topic matches
	passed         int               // records passed since the last mark
	completed      bool
}

// Begin sets the start of the subscription. It keeps the map start.Seen and modifies it.
func (s *Subscription) Begin(start Start) {
	s.after, s.target, s.seen, s.current = start.After, start.Target, start.Seen, bookmark.Bookmark{}
	if s.Options.Vector {
		s.moved = start.Passed.Clone()
		if s.seen == nil {
			s.seen = bookmark.Vector{}
		}
		s.unnamed = bookmark.Vector{}
	}
}

// BecomeLive records that everything before at was passed. Later records come from the shared
// follower, which may still be before at.
func (s *Subscription) BecomeLive(at ledger.Position) {
	s.after = max(s.after, at)
}

// Wants reports whether the subscriber must get r, whose topic matches. If so, r counts as
// delivered.
func (s *Subscription) Wants(r *ledger.Record) bool {
	if r.Kind != ledger.Message || r.Position < s.after {
		return false
	}
	b := bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence}
	if b.Sequence <= s.seenOf(b.Publisher) && (s.Options.Vector || !failpoint.On(failpoint.R9PlainListRepeats)) {
		return false
	}
	s.shown = b
	return true
}

// Matched records that the topic of r matches. r is the message that Pass gets next.
func (s *Subscription) Matched(r *ledger.Record) {
	s.matched = bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence}
}

// mayLeaveOut reports whether r is no reason for the place to name its publisher, because r is not
// for the subscription.
func (s *Subscription) mayLeaveOut(r *ledger.Record) bool {
	switch r.Kind {
	case ledger.Message:
		return s.matched != s.last
	case ledger.Tombstone, ledger.Empty:
		return true
	}
	return false
}

// Pass moves the subscription past r, whether r was wanted or not. If r is a marker of gone
// messages that must be reported to the subscriber, missed is true and gap has their range. If the
// subscription does not accept gaps, its vector does not cover r, and the caller must end it.
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
	case seen == 0 && s.mayLeaveOut(r):
		s.unnamed[r.Publisher] = r.Sequence
		return wire.Gap{}, false
	}
	if missed = r.Kind == ledger.Gone && mustReport(r.Cause, seen); missed {
		gap = wire.Gap{Publisher: r.Publisher, From: max(seen, r.Prev) + 1, To: r.Sequence}
	}
	if missed && !s.AcceptsGaps() {
		return gap, true
	}
	if r.Publisher != s.current.Publisher {
		s.storeCurrent()
	}
	s.current = s.last
	return gap, missed
}

// storeCurrent records the newest number of the current publisher in seen and moved. It is called
// only when the publisher changes, because usually the next message is of the same publisher.
func (s *Subscription) storeCurrent() {
	if c := s.current; !c.IsZero() {
		s.seen[c.Publisher], s.moved[c.Publisher] = c.Sequence, c.Sequence
		s.current = bookmark.Bookmark{}
	}
}

// seenOf returns the highest number of a publisher that the subscriber has.
func (s *Subscription) seenOf(publisher uint64) uint64 {
	if publisher == s.current.Publisher && !s.current.IsZero() {
		return s.current.Sequence
	}
	return s.seen[publisher]
}

// mustReport reports whether messages that are gone for the given cause are a gap for a subscriber
// that has the publisher's numbers up to seen. If the subscriber has nothing of the publisher,
// messages that were let go before any instance knew them are no gap. Nor are removed messages of
// a publisher that was closed, because the place may have left the publisher out (R10).
func mustReport(cause ledger.Cause, seen uint64) bool {
	switch {
	case failpoint.On(failpoint.R9SilentGap), failpoint.On(failpoint.R9LostNotTold) && cause == ledger.Lost && seen == 0:
		return false
	}
	return seen > 0 || cause != ledger.LetGo && (cause != ledger.Closed || failpoint.On(failpoint.R10ClosedIsRemoved))
}

// AcceptsGaps reports whether the subscription continues after a gap.
func (s *Subscription) AcceptsGaps() bool { return s.Options.NotFound == NotFoundEpoch }

// Skip counts the messages in gaps, which the subscriber will never get, as seen.
func (s *Subscription) Skip(gaps []wire.Gap) {
	s.storeCurrent()
	for _, g := range gaps {
		s.seen[g.Publisher] = max(s.seen[g.Publisher], g.To)
		s.moved[g.Publisher] = s.seen[g.Publisher]
	}
}

// Seen returns the numbers that the subscriber of a vector subscription does not need. The map
// belongs to the subscription.
func (s *Subscription) Seen() bookmark.Vector {
	s.storeCurrent()
	return s.seen
}

// Entries returns the number of vector entries that the subscription holds.
func (s *Subscription) Entries() int {
	s.storeCurrent()
	return len(s.seen) + len(s.moved) + len(s.unnamed)
}

// BecomeCatchingUp records that the subscription has its own follower again. The follower begins
// at from. The subscription's vector covers everything before.
func (s *Subscription) BecomeCatchingUp(from ledger.Position) {
	s.after = from
}

// Reached reports whether the replay has reached the target. It returns true once. next is the
// position of the next record.
func (s *Subscription) Reached(next ledger.Position) bool {
	if s.completed || next < s.target {
		return false
	}
	s.completed = true
	return true
}

// Last returns the newest record that was passed.
func (s *Subscription) Last() bookmark.Bookmark { return s.last }

// Shown returns the newest message that the subscriber got.
func (s *Subscription) Shown() bookmark.Bookmark {
	if failpoint.On(failpoint.R9CompletedNamesAny) {
		return s.last
	}
	return s.shown
}

// Passed returns the number of records that were passed since the last mark.
func (s *Subscription) Passed() int { return s.passed }

// NamePublishers makes the next mark name the publishers of which only messages for other
// subscriptions have passed, unless leaveOut returns true for a publisher.
func (s *Subscription) NamePublishers(leaveOut func(publisher uint64) bool) {
	for publisher, sequence := range s.unnamed {
		if s.seenOf(publisher) == 0 && !leaveOut(publisher) {
			s.seen[publisher], s.moved[publisher] = sequence, sequence
		}
	}
	clear(s.unnamed)
}

// Moved reports whether the next mark may have content.
func (s *Subscription) Moved() bool {
	if s.Options.Vector {
		return len(s.moved)+len(s.unnamed) > 0 || !s.current.IsZero()
	}
	return s.passed > 0
}

// AppendMark appends the text of a progress mark to dst. It appends nothing if the mark would be
// empty. Then the next mark begins.
func (s *Subscription) AppendMark(dst []byte) []byte {
	s.passed = 0
	if !s.Options.Vector {
		return s.last.AppendText(dst)
	}
	if s.storeCurrent(); len(s.moved) > 0 {
		dst = s.moved.AppendText(dst)
		clear(s.moved)
	}
	return dst
}

// Target returns the position at which the replay is complete.
func (s *Subscription) Target() ledger.Position { return s.target }

// Completed reports whether the replay has reached the target.
func (s *Subscription) Completed() bool { return s.completed }
