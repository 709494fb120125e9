// Package ring provides a queue in a ring buffer.
package ring

// minCapacity is the capacity of a queue after its first Push.
const minCapacity = 8

// A Queue is a first-in, first-out queue. It grows to the largest number of entries it has
// held at one time, and keeps that room. The zero Queue is empty. It is not safe for
// concurrent use.
type Queue[T any] struct {
	entries []T // its length is a power of two, or 0
	head, n int
}

// Len returns the number of entries.
func (q *Queue[T]) Len() int { return q.n }

// At returns the entry at index i; 0 is the oldest. It is valid until the next Push or Pop.
// i must be less than Len.
func (q *Queue[T]) At(i int) *T { return &q.entries[(q.head+i)&(len(q.entries)-1)] }

// Push adds an entry.
func (q *Queue[T]) Push(v T) {
	if q.n == len(q.entries) {
		q.grow()
	}
	q.n++
	*q.At(q.n - 1) = v
}

// Pop removes and returns the oldest entry; there must be one.
func (q *Queue[T]) Pop() T {
	var none T
	front := &q.entries[q.head]
	v := *front
	*front = none // the queue must not keep memory alive
	q.head = (q.head + 1) & (len(q.entries) - 1)
	q.n--
	return v
}

// Clear removes all entries.
func (q *Queue[T]) Clear() {
	for q.n > 0 {
		q.Pop()
	}
}

func (q *Queue[T]) grow() {
	bigger := make([]T, max(minCapacity, 2*len(q.entries)))
	for i := range q.n {
		bigger[i] = *q.At(i)
	}
	q.entries, q.head = bigger, 0
}
