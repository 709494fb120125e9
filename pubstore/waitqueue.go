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
func (q *waitQueue) add() *waiter {
	w := &waiter{signal.New()}
	q.waiters = append(q.waiters, w)
	return w
}

func (q *waitQueue) isFirst(w *waiter) bool { return q.waiters[0] == w }

// remove removes a turn, served or not. It wakes the new first in line, since the remaining room
// may be enough for it.
func (q *waitQueue) remove(w *waiter) {
	i := slices.Index(q.waiters, w)
	q.waiters = slices.Delete(q.waiters, i, i+1)
	q.wakeFirst()
}

// wakeFirst tells the first in line that there may be room.
func (q *waitQueue) wakeFirst() {
	if len(q.waiters) > 0 {
		q.waiters[0].wake.Set()
	}
}

// wakeAll wakes everyone in line, because the store has ended.
func (q *waitQueue) wakeAll() {
	for _, w := range q.waiters {
		w.wake.Set()
	}
}
