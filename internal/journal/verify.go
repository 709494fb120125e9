package journal

import (
	"fmt"
	"maps"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// compareHead compares the vector of a head with the records before it.
func (i *inspector) compareHead(have bookmark.Vector) {
	switch {
	case i.found.Segments == 1 || maps.Equal(have, i.found.Have):
		return
	case !i.mayLack:
		i.addFault(fmt.Errorf("the head has the vector %v, but the records before it have %v", have, i.found.Have))
		return
	}
	for _, p := range have.Publishers() {
		if before := i.found.Have[p]; before < have[p] {
			i.addFault(missing(p, before, have[p]))
		}
	}
}

// compareOwners compares the owners in a head with the records before it.
func (i *inspector) compareOwners(owners map[uint64]owner) {
	if i.found.Segments == 1 || i.mayLack {
		return
	}
	for _, p := range i.table.sorted() {
		if got, want := owners[p.id], i.owners[p.id]; got != want {
			i.addFault(fmt.Errorf("the head has the owner %q for publisher %d, but the records before it have %q", got, p.id, want))
		}
	}
}

// noteOwner notes the owner of a publisher, unless it has one.
func (i *inspector) noteOwner(publisher uint64, name string) {
	if i.owners[publisher] == (owner{}) {
		i.owners[publisher] = ownerOf(name)
	}
}

// missing describes the sequences of a publisher that are missing at a damaged place.
func missing(publisher, have, upTo uint64) error {
	if upTo == have+1 {
		return fmt.Errorf("publisher %d: %d is missing at a damaged place", publisher, upTo)
	}
	return fmt.Errorf("publisher %d: %d to %d are missing at a damaged place", publisher, have+1, upTo)
}

// check compares a record with the records before it.
func (i *inspector) check(r *Record) {
	have := i.found.Have[r.Publisher]
	verdict := admit(have, r.Prev, r.Sequence)
	switch {
	case verdict == Hole && i.mayLack:
		i.addFault(missing(r.Publisher, have, r.Prev))
	case verdict != Accepted:
		i.addFault(fmt.Errorf("%v %d|%d with predecessor %d at %v follows %d",
			r.Kind, r.Publisher, r.Sequence, r.Prev, r.Position, have))
	}
	if r.Time < i.time {
		i.addFault(fmt.Errorf("%v %d|%d at %v: its time is before that of the previous record", r.Kind, r.Publisher, r.Sequence, r.Position))
	}
	if len(r.User) > 0 {
		i.noteOwner(r.Publisher, string(r.User))
	}
	i.endExtent(Position(r.Position))
	i.inExtent[r.Publisher] = r.Sequence
	i.time = max(i.time, r.Time)
	i.found.Have[r.Publisher] = max(have, r.Sequence)
	i.highest[r.Publisher] = max(i.highest[r.Publisher], r.Sequence)
	i.found.Records++
	if r.Kind == Message {
		i.found.Messages++
	}
}

// endExtent checks the extents that end at or before a position.
func (i *inspector) endExtent(at Position) {
	for len(i.extents) > 0 {
		s, next := i.extents[0], i.extentsEnd
		if len(i.extents) > 1 {
			next = i.extents[1].first
		}
		if at < next {
			return
		}
		want, got := vectorOf(s.highest), i.inExtent
		i.extents, i.inExtent = i.extents[1:], make(bookmark.Vector)
		if !i.mayLack && !maps.Equal(want, got) {
			i.addFault(fmt.Errorf("the summary has the vector %v for the extent at %v, but its records have %v", want, s.first, got))
		}
	}
}

// endSegment checks the summary of the segment that was read, unless the segment is damaged.
func (i *inspector) endSegment() {
	if len(i.summary) == 0 || !i.undamaged {
		return
	}
	s, err := decodeSummary(i.summary)
	if err != nil {
		i.addFault(err)
		return
	}
	i.endExtent(s.last)
	if want := vectorOf(s.highest); !maps.Equal(want, i.highest) {
		i.addFault(fmt.Errorf("the summary has the vector %v for its segment, but the records have %v", want, i.highest))
	}
}
