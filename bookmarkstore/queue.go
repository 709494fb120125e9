package bookmarkstore

// An entryState says what is known of one place in a publisher's queue.
type entryState uint8

const (
	waiting entryState = iota // a message the application has not discarded
	done                      // a message it has, out of order
	marked                    // a progress mark: no message, nothing to wait for
)

// An entry is one message or progress mark, in the order of its arrival.
type entry struct {
	sequence uint64
	state    entryState
}

// A queue holds the entries of one publisher, sequences ascending, in a ring
// that grows to the most that ever stood in it. The zero queue is empty.
type queue struct {
	ring []entry // its length is a power of two, or 0
	head int
	n    int
}

func (q *queue) at(i int) *entry { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

func (q *queue) push(e entry) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.n++
	*q.at(q.n - 1) = e
}

func (q *queue) pop() entry {
	e := q.ring[q.head]
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	return e
}

func (q *queue) grow() {
	bigger := make([]entry, max(8, 2*len(q.ring)))
	for i := range q.n {
		bigger[i] = *q.at(i)
	}
	q.ring, q.head = bigger, 0
}

func (q *queue) clear() { q.head, q.n = 0, 0 }

// after returns the place of the first entry above sequence; q.n if there is none.
func (q *queue) after(sequence uint64) int {
	low, high := 0, q.n
	for low < high {
		middle := int(uint(low+high) / 2)
		if q.at(middle).sequence > sequence {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}

// find returns the entry of a sequence, nil if there is none.
func (q *queue) find(sequence uint64) *entry {
	if q.n > 0 && q.at(0).sequence == sequence { // in order: the usual case
		return q.at(0)
	}
	if i := q.after(sequence); i > 0 && q.at(i-1).sequence == sequence {
		return q.at(i - 1)
	}
	return nil
}
