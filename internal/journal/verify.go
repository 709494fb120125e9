package journal

import (
	"fmt"
	"maps"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// compareHead compares a head with the records before it.
func (i *inspector) compareHead(have bookmark.Vector) {
	switch {
	case i.found.Segments == 1 || maps.Equal(have, i.found.Have):
		return
	case !i.damaged:
		i.addFault(fmt.Errorf("head says %v, the records before it %v", have, i.found.Have))
		return
	}
	for _, p := range have.Publishers() {
		if had := i.found.Have[p]; had < have[p] {
			i.addFault(missing(p, had, have[p]))
		}
	}
}

// missing describes the sequences of a publisher that a damaged place has taken.
func missing(publisher, had, upTo uint64) error {
	if upTo == had+1 {
		return fmt.Errorf("publisher %d: %d is missing at a damaged place", publisher, upTo)
	}
	return fmt.Errorf("publisher %d: %d to %d are missing at a damaged place", publisher, had+1, upTo)
}

// checkRecord compares a record with the records before it.
func (i *inspector) check(r *Record) {
	have := i.found.Have[r.Publisher]
	verdict := admit(have, r.Prev, r.Sequence)
	switch {
	case verdict == Hole && i.damaged:
		i.addFault(missing(r.Publisher, have, r.Prev))
	case verdict != Accepted:
		i.addFault(fmt.Errorf("%v %d|%d with predecessor %d at %v stands behind %d",
			r.Kind, r.Publisher, r.Sequence, r.Prev, r.Position, have))
	}
	if r.Time < i.time {
		i.addFault(fmt.Errorf("%v %d|%d at %v: time goes back", r.Kind, r.Publisher, r.Sequence, r.Position))
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

// endExtent checks the stretches that end at or before a position.
func (i *inspector) endExtent(at Position) {
	for len(i.extents) > 0 {
		s, next := i.extents[0], i.extentsEnd
		if len(i.extents) > 1 {
			next = i.extents[1].first
		}
		if at < next {
			return
		}
		said, got := vectorOf(s.highest), i.inExtent
		i.extents, i.inExtent = i.extents[1:], make(bookmark.Vector)
		if !i.damaged && !maps.Equal(said, got) {
			i.addFault(fmt.Errorf("summary says that %v is in the stretch at %v, it is %v", said, s.first, got))
		}
	}
}

// endSegment checks the summary of the segment that was read, if it is whole.
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
	if said := vectorOf(s.highest); !maps.Equal(said, i.highest) {
		i.addFault(fmt.Errorf("summary says that %v is in its segment, it is %v", said, i.highest))
	}
}
