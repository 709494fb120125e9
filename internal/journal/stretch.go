package journal

import (
	"cmp"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/mut"
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

// stretches are of the newest records that were applied, one behind the other,
// and in memory only: who resumes near the end of the journal, as all do whose
// server died, reads little. What is older has its segment's outline. They do no locking.
type stretches struct {
	bytes     Position  // of the log, about, that one is of
	list      []stretch // oldest first
	bookmarks int       // in list
	outline   outline   // of the segment that is being written

	openStretch
}

// An openStretch is the one that is being written.
type openStretch struct {
	number uint32 // of all in this table's life, from 1
	first  Position
	open   []*publisher // empty: none is
}

// add adds a publisher, of which last is the number of the one that it was last added
// to, to one that begins at first unless it is open.
func (o *openStretch) add(p *publisher, last *uint32, first Position) {
	if len(o.open) == 0 {
		o.number++
		o.first = first
	}
	if *last != o.number {
		*last = o.number
		o.open = append(o.open, p)
	}
}

// close returns the stretch, in which its publishers have what they have.
func (o *openStretch) close() stretch {
	s := stretch{first: o.first, highest: make([]bookmark.Bookmark, len(o.open))}
	for i, p := range o.open {
		s.highest[i] = bookmark.Bookmark{Publisher: p.id, Sequence: p.have}
	}
	o.drop()
	return s
}

// drop leaves the stretch out.
func (o *openStretch) drop() {
	clear(o.open)
	o.open = o.open[:0]
}

// newStretches returns stretches for a log with segments of so many bytes.
func newStretches(segment int64) stretches {
	segment = cmp.Or(segment, defaultSegment)
	return stretches{bytes: Position(min(stretchBytes, segment/16)), outline: outline{segment: Position(segment)}}
}

// endSegment ends a segment behind its last record, and returns its outline.
func (t *stretches) endSegment(at Position) (list []stretch, rest Position) {
	t.end(at)
	return t.outline.take(at)
}

// note adds a record of p, whose have is still that before it.
func (t *stretches) note(p *publisher, at Position) {
	if len(t.open) > 0 && at-t.first >= t.bytes {
		t.end(at)
	}
	t.add(p, &p.stretch, at)
}

// end ends the stretch that is being written, if one is, before the position at.
func (t *stretches) end(at Position) {
	if len(t.open) == 0 {
		return
	}
	t.outline.note(t.first, at, t.open)
	s := t.close()
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
	return max(from, firstUncovered(t.list[i:], v, t.first))
}

// firstUncovered returns where the first stretch begins that v does not cover,
// or rest, which is behind them.
func firstUncovered(list []stretch, v bookmark.Vector, rest Position) Position {
	for i, s := range list {
		if !covers(v, s.highest) && !(i == 0 && mut.On(mut.R9StretchSkipped)) {
			return s.first
		}
	}
	return rest
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
