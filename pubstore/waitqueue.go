package pubstore

import (
	"slices"

	"github.com/holdfast-mq/holdfast/internal/signal"
)

// A waitQueue is the queue of Appends that wait for room, first come, first served. The mutex of its
// owner guards it. Invariant: the first in line has been woken since room was last freed.
type waitQueue struct{ waiters []*waiter }

// A waiter is one waiting Append. It is woken when there may be room.
type waiter struct{ wake signal.Signal }

// add adds a turn at the end of the line.
func (l *waitQueue) add() *waiter {
	t := &waiter{signal.New()}
	l.waiters = append(l.waiters, t)
	return t
}

func (l *waitQueue) isFirst(t *waiter) bool { return l.waiters[0] == t }

// remove removes a turn, served or not. It wakes the new first in line, since the remaining room
// may be enough for it.
func (l *waitQueue) remove(t *waiter) {
	i := slices.Index(l.waiters, t)
	l.waiters = slices.Delete(l.waiters, i, i+1)
	l.wakeFirst()
}

// wakeFirst tells the first in line that there may be room.
func (l *waitQueue) wakeFirst() {
	if len(l.waiters) > 0 {
		l.waiters[0].wake.Set()
	}
}

// wakeAll wakes everyone in line, because the store has ended.
func (l *waitQueue) wakeAll() {
	for _, t := range l.waiters {
		t.wake.Set()
	}
}
