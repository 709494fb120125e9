package pubstore

import (
	"cmp"
	"fmt"
)

// Recovery rebuilds the slots of a life whose numbers are known from the
// state: prepare once, fill for each record found, in any order, then missing.

// prepare makes empty slots for what the life keeps. It believes no more than
// limit messages to be there.
func (w *window) prepare(limit uint64) error {
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

// fill notes where a record was found. One that is not kept is ignored; of two of one
// sequence, the later counts.
func (w *window) fill(seq, pos uint64, size int, ms int64) {
	if !w.holds(seq) {
		return
	}
	if s := w.slots.at(seq); s.pos == noPos {
		w.kept++
		w.bytes += int64(size)
	}
	w.slots.fill(seq, pos, uint32(size), ms)
}

// missing returns the lowest sequence above after that should be kept and was
// not found, 0 if there is none.
func (w *window) missing(after uint64) uint64 {
	for seq := w.next(after); seq != 0; seq = w.next(seq) {
		if w.slots.at(seq).pos == noPos {
			return seq
		}
	}
	w.findOrder()
	return 0
}

// findOrder finds from which message on positions ascend, when all are known.
func (w *window) findOrder() {
	var last uint64
	for seq := w.next(0); seq != 0; seq = w.next(seq) {
		pos := w.slots.at(seq).pos
		if pos < last {
			w.ordered = seq
		}
		last = pos
	}
}

// giveUp lets go of the messages that were not found, as if they had been
// rejected, and returns how many there were.
func (w *window) giveUp() (n int) {
	for seq := w.missing(0); seq != 0; seq = w.missing(seq) {
		w.rejected.add(seq)
		w.lost.add(seq)
		n++
	}
	w.skipRejected()
	return n
}
