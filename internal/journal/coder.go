package journal

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/record"
)

// A coder codes the fields of a head, a summary or a state record in their order (doc.go):
// it either appends or reads them. So each structure is described once for both directions.
type coder struct {
	reading            bool
	record.FieldReader        // the input
	b                  []byte // the output
}

func newReader(b []byte) *coder {
	return &coder{reading: true, FieldReader: record.FieldReader{Rest: b}}
}

// atEnd reports whether the whole input was read without a fault.
func (c *coder) atEnd() bool { return !c.Bad && len(c.Rest) == 0 }

// checkRecord marks the input as bad unless a condition holds.
func (c *coder) require(holds bool) { c.Bad = c.Bad || !holds }

// number codes a number of 8 bytes.
func number[T ~int64 | ~uint64](c *coder, v *T) {
	if c.reading {
		*v = T(c.Uint64())
	} else {
		c.b = binary.LittleEndian.AppendUint64(c.b, uint64(*v))
	}
}

func (c *coder) uint32(v *uint32) {
	if c.reading {
		*v = c.Uint32()
	} else {
		c.b = binary.LittleEndian.AppendUint32(c.b, *v)
	}
}

// uvarint codes a number of no stated length.
func (c *coder) uvarint(v *uint64) {
	if c.reading {
		*v = c.Uvarint()
	} else {
		c.b = binary.AppendUvarint(c.b, *v)
	}
}

func (c *coder) byte(v *byte) {
	if c.reading {
		*v = c.Byte()
	} else {
		c.b = append(c.b, *v)
	}
}

// bytes codes len(b) bytes.
func (c *coder) bytes(b []byte) {
	if c.reading {
		copy(b, c.Bytes(uint64(len(b))))
	} else {
		c.b = append(c.b, b...)
	}
}

// text codes the length of a text and the text.
func (c *coder) text(s *string) {
	if c.reading {
		*s = string(c.Bytes(c.Uvarint()))
	} else {
		c.b = append(binary.AppendUvarint(c.b, uint64(len(*s))), *s...)
	}
}

// time codes a time in microseconds.
func (c *coder) time(t *time.Time) {
	micros := t.UnixMicro()
	number(c, &micros)
	if c.reading {
		*t = time.UnixMicro(micros)
	}
}

// flags codes one byte of flags; the first flag is the lowest bit.
func (c *coder) flags(all ...*bool) {
	if c.reading {
		b := c.Byte()
		for n, flag := range all {
			*flag = b&(1<<n) != 0
		}
		c.require(b>>len(all) == 0)
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

// codeList codes the count of entries, then the entries, each of least bytes or more.
func codeList[T any](c *coder, all *[]T, least int, each func(*coder, *T)) {
	if c.reading {
		n := c.Count(least)
		*all = slices.Grow([]T(nil), n)[:n]
	} else {
		c.b = binary.AppendUvarint(c.b, uint64(len(*all)))
	}
	for i := range *all {
		each(c, &(*all)[i])
	}
}

// ids codes a list of publishers, bookmarks a list of publishers with a sequence each.
func (c *coder) ids(all *[]uint64) { codeList(c, all, 8, number[uint64]) }

func (c *coder) bookmarks(all *[]bookmark.Bookmark) {
	codeList(c, all, 8+1, func(c *coder, b *bookmark.Bookmark) {
		number(c, &b.Publisher)
		c.uvarint(&b.Sequence)
	})
}
