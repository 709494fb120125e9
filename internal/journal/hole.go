package journal

import (
	"slices"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// maxHoles is the maximum number of holes that are remembered of a publisher. If there are
// more, the two oldest become one. Its causes are no longer known, so it counts as lost.
const maxHoles = 64

// A hole is a range of a publisher's sequences, both ends included, that are not on this
// instance according to a gone marker. Retention has not removed them here.
type hole struct {
	from, to uint64
	cause    Cause
}

// addHole adds the sequences that a gone marker stands for. They become a hole. The floor
// stays, because only retention here raises it. There is one exception: removed messages that
// directly follow the floor raise it. The cause Closed counts as Removed. If such a marker
// begins at 1, the publisher is closed at its end.
func (p *publisher) addHole(h hole) {
	if h.cause == Closed {
		if h.cause = Removed; h.from == 1 {
			p.closedUpTo, p.closedAt = h.to, p.seen
		}
	}
	if h.cause == Removed && p.floor == h.from-1 || failpoint.On(failpoint.R2MarkerIsFloor) {
		p.raiseFloor(h.to)
		return
	}
	p.holes = append(p.holes, h)
	if len(p.holes) > maxHoles {
		p.holes[1].from, p.holes[1].cause = p.holes[0].from, Lost
		p.holes = slices.Delete(p.holes, 0, 1)
	}
}

// raiseFloor raises the floor and drops the holes below it, except the lost ones. A publisher
// that still keeps a lost message must not get an ack for it.
func (p *publisher) raiseFloor(to uint64) {
	p.floor = max(p.floor, to)
	p.holes = slices.DeleteFunc(p.holes, func(h hole) bool { return h.to <= p.floor && h.cause != Lost })
}

// holeAt returns the hole that contains a sequence.
func (p *publisher) holeAt(sequence uint64) (h hole, in bool) {
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
	c.require(0 < h.from && h.from <= h.to && h.cause <= Lost)
}
