package seglog

import (
	"cmp"
	"slices"
)

// A tail holds the newest frames of a log in memory, in chunks. A frame is never split between
// chunks. The caller does the locking.
type tail struct {
	chunks    []*chunk // oldest first
	spare     []*chunk // for reuse
	chunkSize int
	bytes     int // held in chunks
}

type chunk struct {
	first Position
	buf   []byte
}

func (c *chunk) end() Position { return c.first + Position(len(c.buf)) }

// maxSpare bounds the number of chunks that are kept for reuse after a burst.
const maxSpare = 8

// newTail returns a tail for a log that keeps this many bytes in memory and has segments of this
// size. A small log gets small chunks.
func newTail(bytes int, segment int64) tail {
	return tail{chunkSize: min(max(min(bytes/8, int(min(segment, 256<<10))), 4<<10), 256<<10)}
}

// first returns the oldest position in the tail, or end if the tail is empty.
func (t *tail) first(end Position) Position {
	if len(t.chunks) == 0 {
		return end
	}
	return t.chunks[0].first
}

// extend returns n bytes for a frame at p, which must be the end of the tail.
func (t *tail) extend(p Position, n int) []byte {
	c := t.last()
	if c == nil || len(c.buf)+n > cap(c.buf) {
		c = t.newChunk(p, n)
	}
	at := len(c.buf)
	c.buf = c.buf[:at+n]
	t.bytes += n
	return c.buf[at:]
}

func (t *tail) last() *chunk {
	if len(t.chunks) == 0 {
		return nil
	}
	return t.chunks[len(t.chunks)-1]
}

func (t *tail) newChunk(p Position, n int) *chunk {
	var c *chunk
	if k := len(t.spare); k > 0 && n <= t.chunkSize {
		c, t.spare = t.spare[k-1], t.spare[:k-1]
	} else {
		c = &chunk{buf: make([]byte, 0, max(n, t.chunkSize))}
	}
	c.first, c.buf = p, c.buf[:0]
	t.chunks = append(t.chunks, c)
	return c
}

// evict drops the oldest chunks as long as the tail has more than limit bytes and the chunk is
// written. No reader may be using them.
func (t *tail) evict(limit int, written Position) {
	n := 0
	for n < len(t.chunks) && t.bytes > limit && t.chunks[n].end() <= written {
		c := t.chunks[n]
		t.bytes -= len(c.buf)
		if cap(c.buf) == t.chunkSize && len(t.spare) < maxSpare {
			t.spare = append(t.spare, c)
		}
		n++
	}
	t.chunks = slices.Delete(t.chunks, 0, n)
}

// find returns the index of the chunk that contains p, or len(t.chunks).
func (t *tail) find(p Position) int {
	i, _ := slices.BinarySearchFunc(t.chunks, p+1, func(c *chunk, p Position) int { return cmp.Compare(c.end(), p) })
	return i
}

// from returns the bytes from p to the end of p's chunk.
func (t *tail) from(p Position) []byte {
	i := t.find(p)
	if i == len(t.chunks) || t.chunks[i].first > p {
		return nil
	}
	return t.chunks[i].buf[p-t.chunks[i].first:]
}
