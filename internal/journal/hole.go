package journal

import (
	"encoding/binary"
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

// appendHoles appends the holes that fit into room bytes, the newest.
func appendHoles(b []byte, holes []hole, room int) []byte {
	const longest = 2*binary.MaxVarintLen64 + 1
	holes = holes[len(holes)-min(len(holes), max(room, 0)/longest):]
	b = binary.AppendUvarint(b, uint64(len(holes)))
	for _, h := range holes {
		b = binary.AppendUvarint(b, h.from)
		b = binary.AppendUvarint(b, h.to)
		b = append(b, byte(h.cause))
	}
	return b
}

func (f *fields) holes() (holes []hole) {
	for range f.Count(1 + 1 + 1) {
		h := hole{from: f.Uvarint(), to: f.Uvarint(), cause: Cause(f.Byte())}
		f.Bad = f.Bad || h.from == 0 || h.from > h.to || h.cause > Lost
		holes = append(holes, h)
	}
	return holes
}
