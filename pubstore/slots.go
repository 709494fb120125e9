package pubstore

// A slot is what a store remembers of one message in memory: 16 bytes, so
// that a million of them outstanding cost 16 MiB.
type slot struct {
	pos  uint64 // where the store finds it; its own meaning
	size uint32 // Message.Size
	ms   uint32 // when it was appended: milliseconds after its chunk's base
}

// noPos is the position of a slot that is not filled yet (recovery).
const noPos = ^uint64(0)

const (
	chunkSlots     = 512
	maxSpareChunks = 16 // 128 KiB
)

type chunk struct {
	base  int64 // milliseconds since the Unix epoch; 0: not chosen yet
	slots [chunkSlots]slot
}

// slots is a queue of the slots of consecutive sequences, first to last. It
// grows and shrinks by chunks, so it never moves what is in it.
type slots struct {
	first  uint64 // sequence of the slot in front
	n      int
	head   int // index in chunks[0] of the slot in front
	chunks []*chunk
	spare  []*chunk // emptied ones, so that a steady flow allocates nothing
}

// push adds the slot of sequence first+n.
func (q *slots) push(pos uint64, size uint32, ms int64) {
	c, i := q.add()
	c.slots[i] = slot{pos: pos, size: size, ms: c.offset(ms)}
}

// pushEmpty adds a slot to be filled later, or never if its message is not kept.
func (q *slots) pushEmpty() {
	c, i := q.add()
	c.slots[i] = slot{pos: noPos}
}

// add makes room for one slot more and returns where that is.
func (q *slots) add() (c *chunk, i int) {
	i = q.head + q.n
	if i == len(q.chunks)*chunkSlots {
		q.grow()
	}
	q.n++
	return q.chunks[i/chunkSlots], i % chunkSlots
}

func (q *slots) grow() {
	var c *chunk
	if n := len(q.spare) - 1; n >= 0 {
		c, q.spare = q.spare[n], q.spare[:n]
	} else {
		c = new(chunk)
	}
	c.base = 0
	q.chunks = append(q.chunks, c)
}

// offset is how long ms is after the chunk's base, which is the first time it
// is asked about: a clock that was set back shows as no time, seven weeks and
// more as seven weeks.
func (c *chunk) offset(ms int64) uint32 {
	if c.base == 0 {
		c.base = ms
	}
	return uint32(min(max(ms-c.base, 0), 1<<32-1))
}

// find returns where the slot of a sequence is, which must be in the queue.
func (q *slots) find(seq uint64) (c *chunk, i int) {
	i = q.head + int(seq-q.first)
	return q.chunks[i/chunkSlots], i % chunkSlots
}

// at returns the slot of a sequence in the queue.
func (q *slots) at(seq uint64) *slot {
	c, i := q.find(seq)
	return &c.slots[i]
}

// time returns when the message of a sequence in the queue was appended, in
// milliseconds since the Unix epoch.
func (q *slots) time(seq uint64) int64 {
	c, i := q.find(seq)
	return c.base + int64(c.slots[i].ms)
}

// fill sets the slot of a sequence that was pushed unfilled.
func (q *slots) fill(seq uint64, pos uint64, size uint32, ms int64) {
	c, i := q.find(seq)
	c.slots[i] = slot{pos: pos, size: size, ms: c.offset(ms)}
}

// pop removes the slot in front.
func (q *slots) pop() slot {
	s := q.chunks[0].slots[q.head]
	q.first++
	q.n--
	if q.head++; q.head == chunkSlots {
		if len(q.spare) < maxSpareChunks {
			q.spare = append(q.spare, q.chunks[0])
		}
		q.chunks[0] = nil
		q.chunks = q.chunks[1:]
		q.head = 0
	}
	return s
}
