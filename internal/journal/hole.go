package journal

import (
	"slices"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// maxHoles bounds the holes of a publisher that are remembered. Beyond it the two oldest
// become one. The causes inside that one are no longer known, so it counts as lost.
const maxHoles = 64

// A hole is the sequences from to to, both included, of a publisher that are not on this
// instance. A gone marker says so; retention has not removed them here.
type hole struct {
	from, to uint64
	cause    Cause
}

// addHole notes the sequences that a gone marker stands for. They become a hole, and the floor
// stays: it says that retention has removed everything up to it here. But removed messages
// raise the floor if nothing is between it and them. The cause Closed counts as Removed,
// and if the marker begins at 1 the publisher is closed at its end.
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

// raiseFloor raises the floor and drops the holes below it, except the lost ones. A
// publisher that still keeps a lost message must not be told that the message was here.
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
