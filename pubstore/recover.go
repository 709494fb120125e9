package pubstore

import (
	"cmp"
	"fmt"
)

// Recovery rebuilds the slots of a life whose numbers are known from the state. It calls prepare
// once, fill for each record found, in any order, and then missing.

// prepareSlots makes empty slots for the kept messages of the life. It fails if they are more than
// limit.
func (w *lifeState) prepareSlots(limit uint64) error {
	if n := w.last - w.acked - w.rejected.count(w.last); n > limit {
		return fmt.Errorf("publisher %d keeps %d messages, there are %d records at most", w.publisher, n, limit)
	}
	w.slots = slots{first: w.acked + 1}
	w.slots.first = cmp.Or(w.next(w.acked), w.last+1)
	for range w.last + 1 - w.slots.first {
		w.slots.pushEmpty()
	}
	return nil
}

// fillFromRecord notes the position of a record. A record that is not kept is ignored. Of two records with
// one sequence the later counts.
func (w *lifeState) fillSlot(seq, pos uint64, size int, ms int64) {
	if !w.isKept(seq) {
		return
	}
	if s := w.slots.at(seq); s.pos == noPos {
		w.kept++
		w.bytes += int64(size)
	}
	w.slots.fill(seq, pos, uint32(size), ms)
}

// nextMissing returns the lowest sequence above after whose message should be kept and was not found,
// or 0.
func (w *lifeState) nextMissing(after uint64) uint64 {
	for seq := w.next(after); seq != 0; seq = w.next(seq) {
		if w.slots.at(seq).pos == noPos {
			return seq
		}
	}
	w.findOrder()
	return 0
}

// findOrder sets ordered. All positions must be known.
func (w *lifeState) findOrder() {
	var last uint64
	for seq := w.next(0); seq != 0; seq = w.next(seq) {
		pos := w.slots.at(seq).pos
		if pos < last {
			w.orderedFrom = seq
		}
		last = pos
	}
}

// giveUpMissing treats the messages that were not found as rejected, and returns their number.
func (w *lifeState) giveUpMissing() (n int) {
	for seq := w.nextMissing(0); seq != 0; seq = w.nextMissing(seq) {
		w.rejected.add(seq)
		w.unreadable.add(seq)
		n++
	}
	w.skipRejected()
	return n
}
