package pubstore

// A slot is the entry of one message in memory: 16 bytes, so a million kept messages take 16 MiB.
type slot struct {
	pos  uint64 // position of the record; its meaning depends on the store
	size uint32 // Message.Size
	ms   uint32 // time of the Append, in milliseconds after the base of the chunk
}

// noPos is the position in a slot that is not filled yet (recovery).
const noPos = ^uint64(0)

const (
	chunkSlots     = 512
	maxSpareChunks = 16 // 128 KiB
)

type chunk struct {
	base  int64 // milliseconds since the Unix epoch; 0: not chosen yet
	slots [chunkSlots]slot
}

// slots is a queue of the slots of consecutive sequences. It grows and shrinks by chunks, so a
// slot never moves.
type slots struct {
	first  uint64 // sequence of the first slot
	n      int
	head   int // index of the first slot in chunks[0]
	chunks []*chunk
	spare  []*chunk // empty chunks for reuse, so that a steady flow allocates nothing
}

// push adds the slot of sequence first+n.
func (q *slots) push(pos uint64, size uint32, ms int64) {
	c, i := q.add()
	c.slots[i] = slot{pos: pos, size: size, ms: c.offset(ms)}
}

// pushEmpty adds a slot for fill. It stays empty if its message is not kept.
func (q *slots) pushEmpty() {
	c, i := q.add()
	c.slots[i] = slot{pos: noPos}
}

// add makes room for one more slot and returns its chunk and index.
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

// offset returns how long ms is after the base of the chunk. The first call sets the base. If the
// clock was set back, the offset is 0. It is at most 2^32-1 ms, about seven weeks.
func (c *chunk) offset(ms int64) uint32 {
	if c.base == 0 {
		c.base = ms
	}
	return uint32(min(max(ms-c.base, 0), 1<<32-1))
}

// find returns chunk and index of the slot of seq, which must be in the queue.
func (q *slots) find(seq uint64) (c *chunk, i int) {
	i = q.head + int(seq-q.first)
	return q.chunks[i/chunkSlots], i % chunkSlots
}

// at returns the slot of seq, which must be in the queue.
func (q *slots) at(seq uint64) *slot {
	c, i := q.find(seq)
	return &c.slots[i]
}

// time returns the time of the Append of seq, which must be in the queue, in milliseconds since
// the Unix epoch.
func (q *slots) time(seq uint64) int64 {
	c, i := q.find(seq)
	return c.base + int64(c.slots[i].ms)
}

// fill sets a slot that pushEmpty added.
func (q *slots) fill(seq uint64, pos uint64, size uint32, ms int64) {
	c, i := q.find(seq)
	c.slots[i] = slot{pos: pos, size: size, ms: c.offset(ms)}
}

// pop removes and returns the first slot.
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
