package client

import "github.com/holdfast-mq/holdfast/internal/ring"

// A delivery is what stands in a subscription's queue: a message, or a gap
// that the application accepted.
type delivery struct {
	m    *Message
	gap  *GapError
	size int
}

// messageOverhead is what a queued message counts beside its body, in bytes.
const messageOverhead = 128

// maxIdleBody is the largest body buffer that is kept for another message.
const maxIdleBody = 8 << 10

// A queue holds deliveries between the reader of a connection and the
// application. Bodies are used again.
type queue struct {
	maxMessages int
	maxBytes    int

	ring.Queue[delivery]
	bytes int // of them
	free  []*Message
}

// full reports whether another message of size bytes is beyond the bound.
// One message always fits.
func (q *queue) full(size int) bool { return !q.fits(0, 0, size) }

// fits reports whether a message of size bytes is within the bound behind others that are
// to be queued before it, and their bytes.
func (q *queue) fits(others, bytes, size int) bool {
	n := q.Len() + others
	return n == 0 || n < q.maxMessages && q.bytes+bytes+size <= q.maxBytes
}

func (q *queue) push(d delivery) {
	q.Push(d)
	q.bytes += d.size
}

func (q *queue) pop() (delivery, bool) {
	if q.Len() == 0 {
		return delivery{}, false
	}
	d := q.Pop()
	q.bytes -= d.size
	return d, true
}

func (q *queue) clear() {
	q.Clear()
	q.bytes = 0
}

// message returns an empty message to fill, perhaps with a buffer.
func (q *queue) message() *Message {
	if n := len(q.free); n > 0 {
		m := q.free[n-1]
		q.free = q.free[:n-1]
		return m
	}
	return new(Message)
}

// recycle takes back a message that nobody looks at any more.
func (q *queue) recycle(m *Message) {
	if cap(m.Data) > maxIdleBody || len(q.free) >= q.maxMessages {
		return
	}
	*m = Message{Data: m.Data[:0]}
	q.free = append(q.free, m)
}
