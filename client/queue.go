package client

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
// application, in a ring that grows to its bound. Bodies are used again.
type queue struct {
	maxMessages int
	maxBytes    int

	ring  []delivery // its length is a power of two, or 0
	head  int
	n     int
	bytes int
	free  []*Message
}

// full reports whether another message of size bytes is beyond the bound.
// One message always fits.
func (q *queue) full(size int) bool {
	return q.n > 0 && (q.n >= q.maxMessages || q.bytes+size > q.maxBytes)
}

func (q *queue) push(d delivery) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = d
	q.n++
	q.bytes += d.size
}

func (q *queue) pop() (delivery, bool) {
	if q.n == 0 {
		return delivery{}, false
	}
	d := q.ring[q.head]
	q.ring[q.head] = delivery{}
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	q.bytes -= d.size
	return d, true
}

func (q *queue) grow() {
	bigger := make([]delivery, max(16, 2*len(q.ring)))
	for i := range q.n {
		bigger[i] = q.ring[(q.head+i)&(len(q.ring)-1)]
	}
	q.ring, q.head = bigger, 0
}

func (q *queue) clear() {
	for q.n > 0 {
		q.pop()
	}
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
