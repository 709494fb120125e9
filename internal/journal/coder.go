package journal

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/record"
)

// A coder encodes or decodes the fields of a head, a summary or a state record, in the order
// of doc.go. So each structure is described once for both directions.
type coder struct {
	reading            bool
	record.FieldReader        // the input
	b                  []byte // the output
}

func newReader(b []byte) *coder {
	return &coder{reading: true, FieldReader: record.FieldReader{Rest: b}}
}

// atEnd reports whether the whole input was read without an error.
func (c *coder) atEnd() bool { return !c.Bad && len(c.Rest) == 0 }

// require makes the input bad unless a condition holds.
func (c *coder) require(condition bool) { c.Bad = c.Bad || !condition }

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

// uvarint codes an unsigned varint.
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

// text codes a string with its length.
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

// flags codes one byte of flags. The first flag is the lowest bit.
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

// codeList codes the count of entries, then the entries. Each has at least minLen bytes.
func codeList[T any](c *coder, all *[]T, minLen int, each func(*coder, *T)) {
	if c.reading {
		n := c.Count(minLen)
		*all = slices.Grow([]T(nil), n)[:n]
	} else {
		c.b = binary.AppendUvarint(c.b, uint64(len(*all)))
	}
	for i := range *all {
		each(c, &(*all)[i])
	}
}

// ids codes a list of publishers.
func (c *coder) ids(all *[]uint64) { codeList(c, all, 8, number[uint64]) }

// bookmarks codes a list of publishers with a sequence each.
func (c *coder) bookmarks(all *[]bookmark.Bookmark) {
	codeList(c, all, 8+1, func(c *coder, b *bookmark.Bookmark) {
		number(c, &b.Publisher)
		c.uvarint(&b.Sequence)
	})
}
