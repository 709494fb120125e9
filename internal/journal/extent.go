package journal

import (
	"cmp"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

const (
	extentBytes        = 256 << 10 // approximate maximum of bytes in one extent
	maxExtentBookmarks = 1 << 18   // maximum of bookmarks in all recent extents
)

// An extent is a piece of the journal. It has the highest sequence in it of each publisher
// with records there.
type extent struct {
	first   Position
	highest []bookmark.Bookmark
}

// recentExtents has consecutive extents of the newest records, in memory only. With them a
// resume near the end of the journal reads little: every client whose server died resumes
// there. The outlines of the segments describe the older records. The owner does the locking.
type recentExtents struct {
	bytes     Position // approximate length of an extent
	list      []extent // oldest first
	bookmarks int      // in list
	outline   outline  // of the segment that is being written

	openExtent
}

// An openExtent is the extent that is being written.
type openExtent struct {
	number     uint32 // counts the extents of this table, from 1
	first      Position
	publishers []*publisher // publishers with records in it; empty: no extent is open
}

// add adds a publisher to the open extent, and begins one at first if none is open. last
// holds the number of the extent to which the publisher was last added.
func (o *openExtent) add(p *publisher, last *uint32, first Position) {
	if len(o.publishers) == 0 {
		o.number++
		o.first = first
	}
	if *last != o.number {
		*last = o.number
		o.publishers = append(o.publishers, p)
	}
}

// close ends the open extent and returns it, with the present have of its publishers.
func (o *openExtent) close() extent {
	s := extent{first: o.first, highest: make([]bookmark.Bookmark, len(o.publishers))}
	for i, p := range o.publishers {
		s.highest[i] = bookmark.Bookmark{Publisher: p.id, Sequence: p.have}
	}
	o.reset()
	return s
}

// reset drops the open extent.
func (o *openExtent) reset() {
	clear(o.publishers)
	o.publishers = o.publishers[:0]
}

// newRecentExtents returns extents for a log whose segments have that many bytes.
func newRecentExtents(segment int64) recentExtents {
	segment = cmp.Or(segment, defaultSegment)
	return recentExtents{bytes: Position(min(extentBytes, segment/16)), outline: outline{segment: Position(segment)}}
}

// endSegment ends a segment at the position after its last record, and returns its
// outline.
func (t *recentExtents) endSegment(at Position) (list []extent, rest Position) {
	t.endOpen(at)
	return t.outline.finish(at)
}

// addRecord adds a record of p. It must be called before the record raises have.
func (t *recentExtents) addRecord(p *publisher, at Position) {
	if len(t.publishers) > 0 && at-t.first >= t.bytes {
		t.endOpen(at)
	}
	t.add(p, &p.extent, at)
}

// endOpen ends the open extent, if there is one, before the position at.
func (t *recentExtents) endOpen(at Position) {
	if len(t.publishers) == 0 {
		return
	}
	t.outline.addRange(t.first, at, t.publishers)
	s := t.close()
	t.list = append(t.list, s)
	t.bookmarks += len(s.highest)
	drop := 0
	for t.bookmarks > maxExtentBookmarks && drop < len(t.list)-1 {
		t.bookmarks -= len(t.list[drop].highest)
		t.list[drop] = extent{}
		drop++
	}
	t.list = t.list[drop:]
}

// seek returns a position at or after from such that v covers all records before it. v
// must cover all records before from.
func (t *recentExtents) seek(v bookmark.Vector, from Position) Position {
	i, exact := slices.BinarySearchFunc(t.list, from, func(s extent, p Position) int { return cmp.Compare(s.first, p) })
	if !exact {
		i-- // the extent that contains from
	}
	if i < 0 {
		return from // older than all recent extents
	}
	return max(from, firstUncovered(t.list[i:], v, t.first))
}

// firstUncovered returns the start of the first extent that v does not cover. If v covers
// all of them, it returns rest, their end.
func firstUncovered(list []extent, v bookmark.Vector, rest Position) Position {
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
