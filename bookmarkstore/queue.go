package bookmarkstore

import (
	"sort"

	"github.com/holdfast-mq/holdfast/internal/ring"
)

// An entryState is the state of one entry in the queue of a publisher.
type entryState uint8

const (
	entryWaiting entryState = iota // a message that the application has not discarded
	entryDone                      // a discarded message after a waiting one
	entryMark                      // a progress mark: not a message, so it needs no discard
)

// An entry is one message or progress mark. Entries are in order of arrival.
type entry struct {
	sequence uint64
	state    entryState
}

// A queue holds the entries of one publisher by ascending sequence. The zero queue is empty.
type queue struct{ ring.Queue[entry] }

// after returns the index of the first entry above sequence, q.Len() if there is none.
func (q *queue) after(sequence uint64) int {
	return sort.Search(q.Len(), func(i int) bool { return q.At(i).sequence > sequence })
}

// find returns the entry of a sequence, nil if there is none.
func (q *queue) find(sequence uint64) *entry {
	if q.Len() > 0 && q.At(0).sequence == sequence { // the usual case: discards in order
		return q.At(0)
	}
	if i := q.after(sequence); i > 0 && q.At(i-1).sequence == sequence {
		return q.At(i - 1)
	}
	return nil
}
