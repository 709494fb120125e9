package journal

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/record"
)

const (
	maxOutlineExtents   = 64      // maximum of extents in one outline
	maxOutlineBookmarks = 1 << 13 // approximate maximum of bookmarks in all these extents
)

// An outline is the part of a segment's summary that describes the inside of the segment.
// With it, a resume in an old segment does not read the segment from its start. An outline is
// a list of extents. They are longer if there are more publishers, so that the outline stays
// small. It does not describe the rest of the segment after its last extent. A resume whose
// vector covers all extents begins there.
type outline struct {
	segment Position // bytes of a full segment

	list      []extent // oldest first
	bookmarks int      // in list
	openExtent
}

// addRange adds the records from first to end. publishers are the publishers with records
// there, with have as of end.
func (o *outline) addRange(first, end Position, publishers []*publisher) {
	for _, p := range publishers {
		o.add(p, &p.outlined, first)
	}
	begin := o.first
	if len(o.list) > 0 {
		begin = o.list[0].first
	}
	// Each part of the segment gets an equal share of the bookmarks.
	room := maxOutlineBookmarks * min(float64(end-begin)/float64(o.segment), 1)
	if end-o.first < o.segment/maxOutlineExtents || float64(o.bookmarks+len(o.publishers)) > room {
		return
	}
	o.bookmarks += len(o.publishers)
	o.list = append(o.list, o.close())
}

// finish returns the outline of a segment that ends at end, and begins the next outline.
func (o *outline) finish(end Position) (list []extent, rest Position) {
	list, rest = o.list, end
	if len(o.publishers) > 0 {
		rest = o.first
	}
	o.list, o.bookmarks = nil, 0
	o.reset()
	return list, rest
}

// appendOutline appends an outline in the form that doc.go describes. highest is the list
// in the summary.
func appendOutline(b []byte, highest []bookmark.Bookmark, list []extent, rest Position) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	if len(list) == 0 {
		return b
	}
	at := Position(0)
	for _, s := range list {
		b = binary.AppendUvarint(b, uint64(s.first-at))
		at = s.first
		b = binary.AppendUvarint(b, uint64(len(s.highest)))
		for _, h := range s.highest {
			i, _ := slices.BinarySearchFunc(highest, h, byPublisher)
			b = binary.AppendUvarint(b, uint64(i))
			b = binary.AppendUvarint(b, highest[i].Sequence-h.Sequence)
		}
	}
	return binary.AppendUvarint(b, uint64(rest-at))
}

// decodeOutline decodes the outline. It returns the extents, and the start of the rest of the
// segment, which the outline does not describe. Without an outline there are no extents.
func (s *summary) decodeOutline() (list []extent, rest Position, err error) {
	if len(s.outline) == 0 {
		return nil, 0, nil
	}
	f := record.FieldReader{Rest: s.outline}
	list = make([]extent, f.Count(1+1))
	for i := range list {
		rest += Position(f.Uvarint())
		list[i] = extent{first: rest, highest: make([]bookmark.Bookmark, f.Count(1+1))}
		for k := range list[i].highest {
			at, below := f.Uvarint(), f.Uvarint()
			if at >= uint64(len(s.highest)) || below > s.highest[at].Sequence {
				f.Bad = true
				break
			}
			h := s.highest[at]
			list[i].highest[k] = bookmark.Bookmark{Publisher: h.Publisher, Sequence: h.Sequence - below}
		}
	}
	if len(list) > 0 {
		rest += Position(f.Uvarint())
	}
	if f.Bad || len(f.Rest) > 0 || rest > s.last {
		return nil, 0, fmt.Errorf("journal: outline of %d bytes: %w", len(s.outline), errState)
	}
	return list, rest, nil
}

// seek returns a position at or after from, the start of the segment, such that v covers
// all records of the segment before it.
func (s *summary) seek(v bookmark.Vector, from Position) (Position, error) {
	list, rest, err := s.decodeOutline()
	if err != nil || len(list) == 0 {
		return from, err
	}
	return firstUncovered(list, v, rest), nil
}

// startBefore returns the last known start of a record at or before the position at. Without
// an outline that is from, the start of the segment.
func (s *summary) startBefore(at, from Position) (Position, error) {
	list, rest, err := s.decodeOutline()
	if err != nil || len(list) == 0 {
		return from, err
	}
	if rest <= at {
		return rest, nil
	}
	for _, s := range list {
		if s.first <= at {
			from = s.first
		}
	}
	return from, nil
}
