package client

import (
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ring"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A delivery is an entry of a subscription's queue: a message, or a gap that the application
// accepts.
type delivery struct {
	m    *Message
	gap  *GapError
	size int
}

// messageOverhead is the size of a queued message besides its body, in bytes.
const messageOverhead = 128

// maxIdleBody is the largest body buffer that is kept for reuse.
const maxIdleBody = 8 << 10

// A queue holds deliveries between the reader of a connection and the application. It reuses
// messages and their buffers.
type queue struct {
	maxMessages int
	maxBytes    int

	ring.Queue[delivery]
	bytes int // total size of the deliveries
	free  []*Message
}

// full reports whether another message of size bytes would exceed the bound. One message always
// fits.
func (q *queue) full(size int) bool { return !q.fits(0, 0, size) }

// fits reports whether a message of size bytes fits within the bound if other messages are queued
// before it. others is the number of these, and bytes their total size.
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

// message returns an empty message to fill. It may have a reused buffer.
func (q *queue) message() *Message {
	if n := len(q.free); n > 0 {
		m := q.free[n-1]
		q.free = q.free[:n-1]
		return m
	}
	return new(Message)
}

// recycle takes back a message that the application no longer uses.
func (q *queue) recycle(m *Message) {
	if cap(m.Body) > maxIdleBody || len(q.free) >= q.maxMessages {
		return
	}
	*m = Message{Body: m.Body[:0], Headers: emptied(m.Headers)}
	q.free = append(q.free, m)
}

// emptied returns no headers, with the memory of h.
func emptied(h Headers) Headers {
	if failpoint.On(failpoint.HeadersStay) {
		return h
	}
	if memory := h.Encoded(); memory != nil {
		h, _ = pubstore.DecodeHeaders(memory[:0])
	}
	return h
}
