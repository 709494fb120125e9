package journal

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/record"
)

// A coder goes over the fields of a head, a summary or a state record, in their order
// (doc.go), and appends them or reads them: each structure is described once for both.
type coder struct {
	reads         bool
	record.Fields        // that it reads
	b             []byte // that it appends to
}

func newReader(b []byte) *coder { return &coder{reads: true, Fields: record.Fields{Rest: b}} }

// ended reports whether all was read, and good.
func (c *coder) ended() bool { return !c.Bad && len(c.Rest) == 0 }

// check makes what is read bad unless a condition holds.
func (c *coder) check(holds bool) { c.Bad = c.Bad || !holds }

// number goes over a number of 8 bytes.
func number[T ~int64 | ~uint64](c *coder, v *T) {
	if c.reads {
		*v = T(c.Uint64())
	} else {
		c.b = binary.LittleEndian.AppendUint64(c.b, uint64(*v))
	}
}

func (c *coder) uint32(v *uint32) {
	if c.reads {
		*v = c.Uint32()
	} else {
		c.b = binary.LittleEndian.AppendUint32(c.b, *v)
	}
}

// uvarint goes over a number of no stated length.
func (c *coder) uvarint(v *uint64) {
	if c.reads {
		*v = c.Uvarint()
	} else {
		c.b = binary.AppendUvarint(c.b, *v)
	}
}

func (c *coder) byte(v *byte) {
	if c.reads {
		*v = c.Byte()
	} else {
		c.b = append(c.b, *v)
	}
}

// bytes goes over as many bytes as b has.
func (c *coder) bytes(b []byte) {
	if c.reads {
		copy(b, c.Take(uint64(len(b))))
	} else {
		c.b = append(c.b, b...)
	}
}

// text goes over the length of a text and the text.
func (c *coder) text(s *string) {
	if c.reads {
		*s = string(c.Take(c.Uvarint()))
	} else {
		c.b = append(binary.AppendUvarint(c.b, uint64(len(*s))), *s...)
	}
}

// time goes over a time, in microseconds.
func (c *coder) time(t *time.Time) {
	micros := t.UnixMicro()
	number(c, &micros)
	if c.reads {
		*t = time.UnixMicro(micros)
	}
}

// flags goes over a byte of flags, the lowest first.
func (c *coder) flags(all ...*bool) {
	if c.reads {
		b := c.Byte()
		for n, flag := range all {
			*flag = b&(1<<n) != 0
		}
		c.check(b>>len(all) == 0)
		return
	}
	b := byte(0)
	for n, flag := range all {
		if *flag {
			b |= 1 << n
		}
	}
	c.b = append(c.b, b)
}

// listOf goes over the count of entries and these, each of least bytes or more.
func listOf[T any](c *coder, all *[]T, least int, each func(*coder, *T)) {
	if c.reads {
		n := c.Count(least)
		*all = slices.Grow([]T(nil), n)[:n]
	} else {
		c.b = binary.AppendUvarint(c.b, uint64(len(*all)))
	}
	for i := range *all {
		each(c, &(*all)[i])
	}
}

// ids goes over publishers, bookmarks over what each of them has.
func (c *coder) ids(all *[]uint64) { listOf(c, all, 8, number[uint64]) }

func (c *coder) bookmarks(all *[]bookmark.Bookmark) {
	listOf(c, all, 8+1, func(c *coder, b *bookmark.Bookmark) {
		number(c, &b.Publisher)
		c.uvarint(&b.Sequence)
	})
}
