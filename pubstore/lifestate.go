package pubstore

import "github.com/holdfast-mq/holdfast/internal/failpoint"

// A lifeState is the state of one life. It knows which of the sequences 1..last are kept: those
// above acked that are not rejected.
type lifeState struct {
	id               string
	publisher        uint64 // public id of the life in records and on servers; the life itself is a secret
	plainOffset      uint64 // see Life.PlainOffset
	plainOffsetAfter uint64 // see Life.PlainOffsetAfter
	clock            uint64 // see Life.Clock
	sent             uint64 // see Life.Sent; may be above last

	// Invariant: single, acked <= last.
	acked  uint64 // everything up to it was discarded as persisted
	last   uint64 // highest sequence given out
	single uint64 // one server has everything up to it; not stored

	rejected rangeSet // only those above acked; below it no cursor needs Prev
	// Invariant: slots.first+slots.n == last+1, and slots.first is the oldest kept sequence, or
	// last+1.
	slots slots
	kept  int
	bytes int64
	// orderedFrom is a sequence from which on positions ascend. Messages below it may be at any
	// position (File).
	orderedFrom uint64
	unreadable  rangeSet // should be kept but cannot be read; given up at opening or inspection
}

func newLifeState(id string) *lifeState {
	return &lifeState{id: id, publisher: PublisherOf(id), slots: slots{first: 1}}
}

// setPlainOffset sets plainOffset, and plainOffsetAfter to the current acked.
func (l *lifeState) setPlainOffset(offset uint64) {
	l.plainOffset, l.plainOffsetAfter = offset, l.acked
}

// append adds a message and returns its sequence.
func (l *lifeState) append(pos uint64, size int, ms int64) uint64 {
	l.last++
	l.slots.push(pos, uint32(size), ms)
	l.kept++
	l.bytes += int64(size)
	return l.last
}

// isKept reports whether seq is kept.
func (l *lifeState) isKept(seq uint64) bool {
	if seq < l.slots.first || seq > l.last || seq <= l.acked {
		return false
	}
	_, in := l.rejected.search(seq)
	return !in
}

// next returns the lowest kept sequence above after, or 0.
func (l *lifeState) next(after uint64) uint64 {
	if after >= l.last {
		return 0
	}
	seq := max(after+1, l.slots.first)
	if i, in := l.rejected.search(seq); in {
		seq = l.rejected[i].To + 1
	}
	if seq > l.last {
		return 0
	}
	return seq
}

// prev returns the highest sequence below seq that was not rejected: the client does not send the
// sequences in between (R1). Below acked the servers have everything, so rejections there do not
// matter.
func (l *lifeState) prev(seq uint64) uint64 {
	if seq == 0 {
		return 0
	}
	if i, in := l.rejected.search(seq - 1); in {
		return l.rejected[i].From - 1
	}
	return seq - 1
}

// discard removes all messages up to through. It calls drop for each kept one.
func (l *lifeState) discard(through uint64, drop func(slot)) {
	through = min(through, l.last)
	if through <= l.acked {
		return
	}
	for l.slots.first <= through {
		l.popFront(drop)
	}
	l.acked = through
	l.rejected.dropThrough(through)
	l.skipRejected()
}

// popFront removes the first slot. Its message may be kept or rejected.
func (l *lifeState) popFront(drop func(slot)) {
	_, rejected := l.rejected.search(l.slots.first)
	s := l.slots.pop()
	if rejected {
		return
	}
	l.kept--
	l.bytes -= int64(s.size)
	drop(s)
}

// reject removes one message. It returns false if the message is not kept.
func (l *lifeState) reject(seq uint64, drop func(slot)) bool {
	if failpoint.On(failpoint.R14ReplayRejected) || !l.isKept(seq) {
		return false
	}
	s := *l.slots.at(seq)
	l.rejected.add(seq)
	l.kept--
	l.bytes -= int64(s.size)
	drop(s)
	l.skipRejected()
	return true
}

// skipRejected removes rejected slots from the front, up to a kept message.
func (l *lifeState) skipRejected() {
	for l.slots.n > 0 && len(l.rejected) > 0 {
		if _, in := l.rejected.search(l.slots.first); !in {
			return
		}
		l.slots.pop()
	}
}

// setPosition sets a new position of a kept message. It must be after all others.
func (l *lifeState) setPosition(seq, pos uint64) {
	l.slots.at(seq).pos = pos
	l.orderedFrom = max(l.orderedFrom, seq+1)
}

// oldestPosition returns the lowest position of a kept message, noPos if there is none.
func (l *lifeState) oldestPosition() uint64 {
	lowest := noPos
	for seq := l.next(0); seq != 0; seq = l.next(seq) {
		lowest = min(lowest, l.slots.at(seq).pos)
		if seq >= l.orderedFrom {
			break
		}
	}
	return lowest
}
