package pubstore

import (
	"slices"

	"github.com/holdfast-mq/holdfast/internal/signal"
)

// A waitQueue is the FIFO queue of Appends that wait for room. The mutex of its owner guards it.
// Invariant: the first waiter has been woken since room was last freed.
type waitQueue struct{ waiters []*waiter }

// A waiter is one waiting Append. It is woken when there may be room.
type waiter struct{ wake signal.Signal }

// add adds a waiter at the end of the queue.
func (q *waitQueue) add() *waiter {
	w := &waiter{signal.New()}
	q.waiters = append(q.waiters, w)
	return w
}

func (q *waitQueue) isFirst(w *waiter) bool { return q.waiters[0] == w }

// remove removes a waiter, served or not. It wakes the new first waiter, since the remaining room
// may be enough for it.
func (q *waitQueue) remove(w *waiter) {
	i := slices.Index(q.waiters, w)
	q.waiters = slices.Delete(q.waiters, i, i+1)
	q.wakeFirst()
}

// wakeFirst tells the first waiter that there may be room.
func (q *waitQueue) wakeFirst() {
	if len(q.waiters) > 0 {
		q.waiters[0].wake.Set()
	}
}

// wakeAll wakes all waiters, because the store has ended.
func (q *waitQueue) wakeAll() {
	for _, w := range q.waiters {
		w.wake.Set()
	}
}
