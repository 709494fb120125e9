package journal

import (
	"cmp"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

const (
	stretchBytes = 256 << 10 // of the log, about, at most
	stretchMost  = 1 << 18   // bookmarks of all stretches that are remembered
)

// A stretch is a piece of the journal and up to where it has each publisher
// that stands in it.
type stretch struct {
	first   Position
	highest []bookmark.Bookmark
}

// stretches are what segments' summaries are too coarse for: who resumes near
// the end of the journal must not have to read its segment from the start. They
// are of the newest records that were applied, one behind the other, and in
// memory only. They do no locking.
type stretches struct {
	bytes     Position  // of the log, about, that one is of
	list      []stretch // oldest first
	bookmarks int       // in list

	// Of the one that is being written.
	number uint64 // of all in this table's life, from 1
	first  Position
	open   []*publisher // empty: none is
}

// newStretches returns stretches for a log with segments of so many bytes.
func newStretches(segment int64) stretches {
	return stretches{bytes: Position(min(stretchBytes, cmp.Or(segment, defaultSegment)/16))}
}

// note adds a record of p, whose have is still that before it.
func (t *stretches) note(p *publisher, at Position) {
	if len(t.open) > 0 && at-t.first >= t.bytes {
		t.end()
	}
	if len(t.open) == 0 {
		t.number++
		t.first = at
	}
	if p.stretch != t.number {
		p.stretch = t.number
		t.open = append(t.open, p)
	}
}

// end ends the stretch that is being written.
func (t *stretches) end() {
	s := stretch{first: t.first, highest: make([]bookmark.Bookmark, len(t.open))}
	for i, p := range t.open {
		s.highest[i] = bookmark.Bookmark{Publisher: p.id, Sequence: p.have}
	}
	clear(t.open)
	t.open = t.open[:0]
	t.list = append(t.list, s)
	t.bookmarks += len(s.highest)
	drop := 0
	for t.bookmarks > stretchMost && drop < len(t.list)-1 {
		t.bookmarks -= len(t.list[drop].highest)
		t.list[drop] = stretch{}
		drop++
	}
	t.list = t.list[drop:]
}

// seek returns a position at or behind from such that v, which covers what
// stands before from, covers all that stands before it.
func (t *stretches) seek(v bookmark.Vector, from Position) Position {
	i, exact := slices.BinarySearchFunc(t.list, from, func(s stretch, p Position) int { return cmp.Compare(s.first, p) })
	if !exact {
		i-- // the one that from is in
	}
	if i < 0 {
		return from // older than what is remembered
	}
	for _, s := range t.list[i:] {
		if !covers(v, s.highest) {
			return max(from, s.first)
		}
	}
	return max(from, t.first)
}

// covers reports whether v covers all of a list.
func covers(v bookmark.Vector, list []bookmark.Bookmark) bool {
	for _, b := range list {
		if !v.Covers(b) {
			return false
		}
	}
	return true
}
