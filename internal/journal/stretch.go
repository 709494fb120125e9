package journal

import (
	"cmp"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

const (
	stretchBytes = 256 << 10 // bytes of one stretch, at most, about
	stretchMost  = 1 << 18   // bookmarks of all remembered stretches, at most
)

// A stretch is a piece of the journal with the highest sequence, in it, of each publisher
// that has records there.
type stretch struct {
	first   Position
	highest []bookmark.Bookmark
}

// stretches describe the newest applied records, one stretch behind the other. They are in
// memory only. With them a resume near the end of the journal reads little; every client
// whose server died resumes there. The outlines of the segments describe the older records.
// stretches do no locking.
type stretches struct {
	bytes     Position  // of the log in one stretch, about
	list      []stretch // oldest first
	bookmarks int       // in list
	outline   outline   // of the segment that is being written

	openStretch
}

// An openStretch is the stretch that is being written.
type openStretch struct {
	number uint32 // counts the stretches in this table's life, from 1
	first  Position
	open   []*publisher // publishers with records in it; empty: no stretch is open
}

// add adds a publisher to the open stretch, and begins one at first if none is open. last
// has the number of the stretch to which the publisher was last added.
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

// close returns the stretch with the current have of its publishers.
func (o *openStretch) close() stretch {
	s := stretch{first: o.first, highest: make([]bookmark.Bookmark, len(o.open))}
	for i, p := range o.open {
		s.highest[i] = bookmark.Bookmark{Publisher: p.id, Sequence: p.have}
	}
	o.drop()
	return s
}

// drop leaves the open stretch out.
func (o *openStretch) drop() {
	clear(o.open)
	o.open = o.open[:0]
}

// newStretches returns stretches for a log whose segments have that many bytes.
func newStretches(segment int64) stretches {
	segment = cmp.Or(segment, defaultSegment)
	return stretches{bytes: Position(min(stretchBytes, segment/16)), outline: outline{segment: Position(segment)}}
}

// endSegment ends a segment at the position behind its last record, and returns its
// outline.
func (t *stretches) endSegment(at Position) (list []stretch, rest Position) {
	t.end(at)
	return t.outline.take(at)
}

// note adds a record of p, before it raises have.
func (t *stretches) note(p *publisher, at Position) {
	if len(t.open) > 0 && at-t.first >= t.bytes {
		t.end(at)
	}
	t.add(p, &p.stretch, at)
}

// end ends the open stretch, if there is one, before the position at.
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

// seek returns a position at or behind from such that v covers all records before it. v
// must cover all records before from.
func (t *stretches) seek(v bookmark.Vector, from Position) Position {
	i, exact := slices.BinarySearchFunc(t.list, from, func(s stretch, p Position) int { return cmp.Compare(s.first, p) })
	if !exact {
		i-- // the stretch that contains from
	}
	if i < 0 {
		return from // older than all remembered stretches
	}
	return max(from, firstUncovered(t.list[i:], v, t.first))
}

// firstUncovered returns the start of the first stretch that v does not cover. If v covers
// all of them, it returns rest, their end.
func firstUncovered(list []stretch, v bookmark.Vector, rest Position) Position {
	for i, s := range list {
		if !covers(v, s.highest) && !(i == 0 && failpoint.On(failpoint.R9StretchSkipped)) {
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
