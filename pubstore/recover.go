package pubstore

import (
	"cmp"
	"fmt"
)

// Recovery rebuilds the slots of a life whose numbers are known from the state. It calls
// prepareSlots once, fillSlot for each record found, in any order, and then nextMissing.

// prepareSlots makes empty slots for the kept messages of the life. It fails if they are more than
// limit.
func (l *lifeState) prepareSlots(limit uint64) error {
	if n := l.last - l.acked - l.rejected.count(l.last); n > limit {
		return fmt.Errorf("publisher %d keeps %d messages according to the state, but there are at most %d records", l.publisher, n, limit)
	}
	l.slots = slots{first: l.acked + 1}
	l.slots.first = cmp.Or(l.next(l.acked), l.last+1)
	for range l.last + 1 - l.slots.first {
		l.slots.pushEmpty()
	}
	return nil
}

// fillSlot sets the position of a record. A record that is not kept is ignored. Of two records with
// one sequence the later counts.
func (l *lifeState) fillSlot(seq, pos uint64, size int, ms int64) {
	if !l.isKept(seq) {
		return
	}
	if s := l.slots.at(seq); s.pos == noPos {
		l.kept++
		l.bytes += int64(size)
	}
	l.slots.fill(seq, pos, uint32(size), ms)
}

// nextMissing returns the lowest sequence above after whose message should be kept and was not
// found. If there is none, it returns 0 and has set orderedFrom.
func (l *lifeState) nextMissing(after uint64) uint64 {
	for seq := l.next(after); seq != 0; seq = l.next(seq) {
		if l.slots.at(seq).pos == noPos {
			return seq
		}
	}
	l.findOrder()
	return 0
}

// findOrder sets orderedFrom. All positions must be known.
func (l *lifeState) findOrder() {
	var last uint64
	for seq := l.next(0); seq != 0; seq = l.next(seq) {
		pos := l.slots.at(seq).pos
		if pos < last {
			l.orderedFrom = seq
		}
		last = pos
	}
}

// giveUpMissing treats the messages that were not found as rejected, and returns their number.
func (l *lifeState) giveUpMissing() (n int) {
	for seq := l.nextMissing(0); seq != 0; seq = l.nextMissing(seq) {
		l.rejected.add(seq)
		l.unreadable.add(seq)
		n++
	}
	l.skipRejected()
	return n
}
