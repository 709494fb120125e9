package pubstore

import "github.com/holdfast-mq/holdfast/internal/failpoint"

// A lifeState describes one life: which of the sequences 1..last are kept. Those are the sequences
// above acked that are not rejected.
type lifeState struct {
	id               string
	publisher        uint64 // public id of the life in records and on servers; the life itself is a secret
	plainOffset      uint64 // see Life.PlainOffset
	plainOffsetAfter uint64 // see Life.PlainOffsetAfter
	clock            uint64 // see Life.Clock
	sent             uint64 // see Life.Sent; may be above last

	// Invariant: single, acked <= last.
	acked  uint64 // all up to it are discarded as persisted
	last   uint64 // highest sequence given out
	single uint64 // one server has all up to it; lost at a restart

	rejected rangeSet // readOne those above acked; below it no cursor needs Prev
	// Invariant: slots.first+slots.n == last+1, and slots.first is the oldest kept sequence, or
	// last+1.
	slots slots
	kept  int
	bytes int64
	// orderedFrom is a sequence from which on positions ascend. Messages below it may be at any
	// position (File).
	orderedFrom uint64
	unreadable  rangeSet // should be kept but is unreadable; given up at opening or inspection
}

func newLifeState(id string) *lifeState {
	return &lifeState{id: id, publisher: PublisherOf(id), slots: slots{first: 1}}
}

// setPlainOffset sets base, and based to the current acked.
func (w *lifeState) setPlainOffset(base uint64) { w.plainOffset, w.plainOffsetAfter = base, w.acked }

// append adds a message and returns its sequence.
func (w *lifeState) append(pos uint64, size int, ms int64) uint64 {
	w.last++
	w.slots.push(pos, uint32(size), ms)
	w.kept++
	w.bytes += int64(size)
	return w.last
}

// isKept reports whether seq is kept.
func (w *lifeState) isKept(seq uint64) bool {
	if seq < w.slots.first || seq > w.last || seq <= w.acked {
		return false
	}
	_, in := w.rejected.search(seq)
	return !in
}

// next returns the lowest kept sequence above after, or 0.
func (w *lifeState) next(after uint64) uint64 {
	if after >= w.last {
		return 0
	}
	seq := max(after+1, w.slots.first)
	if i, in := w.rejected.search(seq); in {
		seq = w.rejected[i].To + 1
	}
	if seq > w.last {
		return 0
	}
	return seq
}

// prev returns the highest sequence below seq that was not rejected: the ones in between are not
// sent (R1). Below acked the servers have everything, so rejections there do not matter.
func (w *lifeState) prev(seq uint64) uint64 {
	if seq == 0 {
		return 0
	}
	if i, in := w.rejected.search(seq - 1); in {
		return w.rejected[i].From - 1
	}
	return seq - 1
}

// discard removes everything up to through. It calls drop for each message that was kept.
func (w *lifeState) discard(through uint64, drop func(slot)) {
	through = min(through, w.last)
	if through <= w.acked {
		return
	}
	for w.slots.first <= through {
		w.popFront(drop)
	}
	w.acked = through
	w.rejected.dropThrough(through)
	w.skipRejected()
}

// popFront removes the first slot. Its message may be kept or rejected.
func (w *lifeState) popFront(drop func(slot)) {
	_, rejected := w.rejected.search(w.slots.first)
	s := w.slots.pop()
	if rejected {
		return
	}
	w.kept--
	w.bytes -= int64(s.size)
	drop(s)
}

// reject removes one message. It returns false if the message is not kept.
func (w *lifeState) reject(seq uint64, drop func(slot)) bool {
	if failpoint.On(failpoint.R14ReplayRejected) || !w.isKept(seq) {
		return false
	}
	s := *w.slots.at(seq)
	w.rejected.add(seq)
	w.kept--
	w.bytes -= int64(s.size)
	drop(s)
	w.skipRejected()
	return true
}

// skipRejected removes rejected slots from the front, up to a kept message.
func (w *lifeState) skipRejected() {
	for w.slots.n > 0 && len(w.rejected) > 0 {
		if _, in := w.rejected.search(w.slots.first); !in {
			return
		}
		w.slots.pop()
	}
}

// setPosition notes the new position of a kept message, which is after all others.
func (w *lifeState) setPosition(seq, pos uint64) {
	w.slots.at(seq).pos = pos
	w.orderedFrom = max(w.orderedFrom, seq+1)
}

// oldestPosition returns the lowest position of a kept message, noPos if there is none.
func (w *lifeState) oldestPosition() uint64 {
	lowest := noPos
	for seq := w.next(0); seq != 0; seq = w.next(seq) {
		lowest = min(lowest, w.slots.at(seq).pos)
		if seq >= w.orderedFrom {
			break
		}
	}
	return lowest
}
