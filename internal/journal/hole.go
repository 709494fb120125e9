package journal

import (
	"slices"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// holesMost bounds the holes of a publisher that are remembered. Beyond it the
// two oldest become one, of which nobody knows any more what is in it.
const holesMost = 64

// A hole is from to to, both included, of a publisher that is not here, because
// a gone marker says so and not because retention has removed it here.
type hole struct {
	from, to uint64
	cause    Cause
}

// gone notes what a gone marker stands for. It is a hole and leaves the floor
// alone, which says that all up to there is removed here. It continues the floor
// if nothing stands between them.
func (p *publisher) gone(h hole) {
	if h.cause == Closed {
		if h.cause = Removed; h.from == 1 {
			p.closed, p.closedAt = h.to, p.seen
		}
	}
	if h.cause == Removed && p.floor == h.from-1 || mut.On(mut.R2MarkerIsFloor) {
		p.raiseFloor(h.to)
		return
	}
	p.holes = append(p.holes, h)
	if len(p.holes) > holesMost {
		p.holes[1].from, p.holes[1].cause = p.holes[0].from, Lost
		p.holes = slices.Delete(p.holes, 0, 1)
	}
}

// raiseFloor raises the floor. Of the holes below it those stay that retention
// has no part in: who still keeps a message that is lost must not be told that
// it was here.
func (p *publisher) raiseFloor(to uint64) {
	p.floor = max(p.floor, to)
	p.holes = slices.DeleteFunc(p.holes, func(h hole) bool { return h.to <= p.floor && h.cause != Lost })
}

// inHole returns the hole of a sequence.
func (p *publisher) inHole(sequence uint64) (h hole, in bool) {
	i := slices.IndexFunc(p.holes, func(h hole) bool { return h.from <= sequence && sequence <= h.to })
	if i < 0 {
		return hole{}, false
	}
	return p.holes[i], true
}

func (c *coder) hole(h *hole) {
	c.uvarint(&h.from)
	c.uvarint(&h.to)
	c.byte((*byte)(&h.cause))
	c.check(0 < h.from && h.from <= h.to && h.cause <= Lost)
}
