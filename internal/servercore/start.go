package servercore

import (
	"bytes"
	"errors"
	"maps"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/route"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A start is where a subscription begins, with the contents of its processed ack.
type start struct {
	route.Start
	base string // base of a subscription by vector, as text; empty: the subscriber has named its place
	gaps []wire.Gap

	diverged []bookmark.Bookmark // diverged publishers whose proven numbers the place has passed (R11)
}

// findStart finds where a subscription begins.
func (s *Session) findStart(b *sub, m *wire.Message) (start, error) {
	l := s.inst.Ledger
	if !b.Bookmark {
		end := l.DurableEnd()
		return start{Start: route.Start{From: end, After: end, Target: end}}, nil
	}
	if err := s.checkList(b, m.Bookmark); err != nil {
		return start{}, err
	}
	asked, err := bookmark.ParseStart(m.Bookmark)
	switch {
	case s.ended.Load():
		return start{}, ErrEnding // skip the search for a session that ends
	case errors.Is(err, bookmark.ErrRange):
		return start{}, &subscribeError{reason: "bookmark range is not offered", loud: true}
	case err != nil:
		return start{}, &subscribeError{reason: wire.ReasonInvalidBookmark}
	case b.Options.Vector:
		return startVector(l, asked, b)
	}
	return startPlain(l, asked, b.Options.NotFound, s.ended.Load)
}

// maxBookmarks bounds the list of bookmarks in a plain subscribe.
const maxBookmarks = 1000

// checkList refuses a list that is too long, before any memory is allocated for it.
func (s *Session) checkList(b *sub, list []byte) error {
	n := 1 + bytes.Count(list, []byte(","))
	switch {
	case b.Options.Vector && n > s.maxVector(wire.MaxVector):
		return &subscribeError{reason: wire.ReasonVectorTooLong, loud: true}
	case !b.Options.Vector && n > maxBookmarks && !failpoint.On(failpoint.DAnyList):
		return &subscribeError{reason: "more than 1000 bookmarks", loud: true}
	}
	return nil
}

// startVector finds the start of a subscription by vector, and its base (R9). A bookmark that this
// instance has not seen is not an error, even if it was never issued: its message may still come by
// replication. So the publisher's messages up to that bookmark count as seen and are not delivered.
// It reads positions before floors, so that a removal by retention in between shows up as a gap or
// in the base.
func startVector(l ledger.Ledger, asked bookmark.Start, b *sub) (start, error) {
	at := start{}
	at.Target = l.DurableEnd()
	var err error
	switch asked.Kind {
	case bookmark.Epoch:
		at.From = l.First()
		at.Seen = l.Floors()
	case bookmark.Now:
		at.From, at.Seen = l.DurableVector()
		at.Target = at.From
	case bookmark.Timestamp:
		at.From, at.Seen, err = l.SeekTime(asked.Time)
	case bookmark.List:
		err = at.behindVector(l, asked.List, b)
	}
	if err != nil {
		return start{}, err
	}
	if at.Seen == nil {
		at.Seen = bookmark.Vector{}
	}
	at.After = max(at.From, at.After)
	if asked.Kind != bookmark.List {
		// The base leaves out a publisher that has had nothing for the subscription so far, so that
		// each of its messages is new.
		unmatched, closed := l.NeverMatching(b.matches()), l.ClosedPublishers() // read after the base
		maps.DeleteFunc(at.Seen, func(publisher, seen uint64) bool {
			_, is := unmatched[publisher]
			return is || seen == closed[publisher]
		})
		at.base = at.Seen.String()
	}
	return at, nil
}

// seek returns the position from which a subscription by vector must read. It skips records that
// the vector covers and publishers whose messages cannot match.
func (b *sub) seek(l ledger.Ledger, v bookmark.Vector) (ledger.Position, error) {
	covered, other := l.NeverMatching(b.matches()), v // read before the log
	switch {
	case len(covered) == 0:
		return l.SeekVector(v)
	case len(other) > len(covered):
		covered, other = v.Clone(), covered
	}
	covered.Merge(other)
	return l.SeekVector(covered)
}

// behindVector sets the start after a vector, given as a list of bookmarks.
func (at *start) behindVector(l ledger.Ledger, list []bookmark.Bookmark, b *sub) (err error) {
	at.Seen = bookmark.Vector{}
	for _, x := range list {
		at.Seen[x.Publisher] = max(at.Seen[x.Publisher], x.Sequence)
		if from := l.Diverged(x.Publisher); from > 0 && x.Sequence >= from {
			at.diverged = append(at.diverged, bookmark.Bookmark{Publisher: x.Publisher, Sequence: from})
		}
	}
	at.From, err = b.seek(l, at.Seen)
	if err != nil {
		return err
	}
	removed := l.RemovedMatching(b.matches(), at.Seen)
	if at.gaps = route.Gaps(removed, at.Seen); len(at.gaps) > 0 {
		if !b.AcceptsGaps() {
			return &subscribeError{reason: wire.ReasonBookmarkNotFound, gaps: at.gaps, loud: true}
		}
		at.Seen.Merge(removed)
	}
	at.raiseToFloors(l, list)
	if failpoint.On(failpoint.R9ByPosition) {
		at.From, at.After = behindLast(l, list, at.From)
	}
	return nil
}

// raiseToFloors raises the listed publishers to their floors. The removed messages do not match the
// subscription: those that may match were handled as gaps before. The subscriber learns the raised
// numbers by a mark, because an instance that does not know the topics of the removed messages may
// report a gap for them.
func (at *start) raiseToFloors(l ledger.Ledger, list []bookmark.Bookmark) {
	at.Passed = bookmark.Vector{}
	for _, x := range list {
		if floor := l.Floor(x.Publisher); floor > at.Seen[x.Publisher] && !failpoint.On(failpoint.R9RemovedNotPassed) {
			at.Seen[x.Publisher], at.Passed[x.Publisher] = floor, floor
		}
	}
}

// startPlain finds the start of a bookmark subscription of the plain protocol. It begins at a
// position of this ledger; the epoch is position 0.
func startPlain(l ledger.Ledger, asked bookmark.Start, notFound route.NotFound, stop func() bool) (start, error) {
	at := start{}
	at.Target = l.DurableEnd()
	var err error
	switch asked.Kind {
	case bookmark.Now:
		at.From = at.Target
	case bookmark.Timestamp:
		at.From, _, err = l.SeekTime(asked.Time)
	case bookmark.List:
		return startAtList(l, asked, notFound, stop)
	}
	at.After = at.From
	return at, err
}

// startAtList starts after the bookmark of the list that is earliest in this ledger. A bookmark
// that retention has removed counts as before the first record. The listed messages and earlier
// ones of the same publishers are not repeated.
func startAtList(l ledger.Ledger, asked bookmark.Start, notFound route.NotFound, stop func() bool) (start, error) {
	at := start{}
	at.Target, at.Seen = l.DurableEnd(), bookmark.Vector{}
	for _, x := range asked.List {
		at.Seen[x.Publisher] = max(at.Seen[x.Publisher], x.Sequence)
	}
	known, err := at.earliest(l, asked, notFound, stop)
	switch {
	case err != nil:
		return start{}, err
	case known:
		return at, nil
	case notFound == route.NotFoundFail:
		return start{}, &subscribeError{reason: wire.ReasonBookmarkNotFound}
	case notFound == route.NotFoundEpoch:
		at.From = 0
	default:
		at.From = at.Target
	}
	at.After = at.From
	return at, nil
}

// earliest moves the start to the earliest of the listed places. known reports whether the ledger
// knows one of them. The error is ErrEnding if the search was stopped.
func (at *start) earliest(l ledger.Ledger, asked bookmark.Start, notFound route.NotFound, stop func() bool) (known bool, err error) {
	for _, x := range asked.List {
		if x.Sequence <= l.Floor(x.Publisher) && notFound != route.NotFoundFail {
			return true, nil // before the first record
		}
	}
	place, known, err := l.Find(asked.List, stop)
	switch {
	case err != nil:
		return false, err
	case stop():
		return false, ErrEnding
	}
	at.From, at.After = place, place+1
	if asked.Time.IsZero() {
		return known, nil
	}
	place, _, err = l.SeekTime(asked.Time)
	if !known || place < at.After {
		at.From, at.After = place, place
	}
	return true, err
}
