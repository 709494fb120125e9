package wire

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

const (
	// PartBytes is how much of a vector, or of a list of gaps, stands in one
	// frame: what is longer goes in parts, whatever length of frame the other
	// side takes.
	PartBytes = 32 << 10

	// MaxVector is how many publishers a vector that comes in parts may name.
	MaxVector = 1 << 20
)

// longestEntry bounds what one publisher takes in a vector or a list of gaps, in
// bytes, with its comma.
const longestEntry = 64

var (
	// ErrParts reports a vector that was not put together: a part of it is missing,
	// or parts of two are mixed up.
	ErrParts = errors.New("wire: vector in parts is incomplete")
	// ErrVectorTooLong reports a vector in parts that names too many publishers.
	ErrVectorTooLong = errors.New("wire: vector in parts names too many publishers")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CutPart returns the entries that text, a comma list, begins with and that are
// not longer than PartBytes, and what follows the comma behind them.
func CutPart(text string) (part, rest string) {
	if len(text) <= PartBytes {
		return text, ""
	}
	end := strings.LastIndexByte(text[:PartBytes], ',')
	if end < 0 {
		return text, "" // no list
	}
	return text[:end], text[end+1:]
}

// A splitter writes the frames that come before the last one of a text in parts.
type splitter struct {
	parts uint64 // so far
	sum   uint32 // of all, the last one's included
}

// cut has frame called with all parts of text but the last, and returns that.
func (s *splitter) cut(text string, frame func(part string, n uint64)) (last string) {
	for {
		part, rest := CutPart(text)
		if rest == "" {
			return part
		}
		s.parts++
		s.add(part)
		frame(part, s.parts)
		text = rest
	}
}

func (s *splitter) add(part string) { s.sum = crc32.Update(s.sum, castagnoli, []byte(part)) }

// appendEnd appends what the last frame says of the parts before it.
func (s *splitter) appendEnd(dst []byte) []byte {
	if s.parts == 0 {
		return dst
	}
	dst = appendNumber(dst, `,"parts":`, s.parts, true)
	return appendNumber(dst, `,"sum":`, uint64(s.sum), true)
}

// An Assembly puts the values of bm and gap together that come in parts. It keeps
// one text at a time; a first part begins it anew. The zero Assembly is ready.
type Assembly struct {
	id            []byte
	parts         uint64
	sum           uint32
	entries       int
	bookmark, gap []byte
	err           error // why it will not be complete
}

// Add takes in a part, a message whose Part is not 0. most bounds the entries of
// all parts; 0: any number. It returns false, and keeps nothing, when there are
// more.
func (a *Assembly) Add(m *Message, most int) bool {
	if m.Part == 1 {
		*a = Assembly{id: bytes.Clone(m.CommandID)}
	}
	if a.err != nil {
		return a.err != ErrVectorTooLong
	}
	if m.Part != a.parts+1 || !bytes.Equal(a.id, m.CommandID) {
		*a = Assembly{err: fmt.Errorf("%w: part %d came behind part %d", ErrParts, m.Part, a.parts)}
		return true
	}
	a.parts++
	a.take(m)
	if most > 0 && (a.entries > most || len(a.bookmark)+len(a.gap) > longestEntry*most) {
		*a = Assembly{err: ErrVectorTooLong}
		return false
	}
	return true
}

// Size returns how many bytes are kept.
func (a *Assembly) Size() int { return cap(a.bookmark) + cap(a.gap) }

func (a *Assembly) take(m *Message) {
	a.append(&a.bookmark, m.Bookmark)
	a.append(&a.gap, m.Gap)
}

func (a *Assembly) append(whole *[]byte, part []byte) {
	if len(part) == 0 {
		return
	}
	a.sum = crc32.Update(a.sum, castagnoli, part)
	a.entries += 1 + bytes.Count(part, comma)
	if len(*whole) > 0 {
		*whole = append(*whole, ',')
	}
	*whole = append(*whole, part...)
}

// Complete ends the parts with the message that says how many there are, whose
// Bookmark and Gap it makes whole; one that says nothing of parts stays as it is.
// Whatever was kept is let go.
func (a *Assembly) Complete(m *Message) error {
	was := *a
	*a = Assembly{}
	if m.Parts == 0 {
		return nil
	}
	if was.err != nil && !mut.On(mut.R9PartMissing) {
		return was.err
	}
	came := was.parts
	mixed := !bytes.Equal(was.id, m.CommandID)
	was.take(m)
	if (mixed || came != m.Parts || uint64(was.sum) != m.Sum) && !mut.On(mut.R9PartMissing) {
		return fmt.Errorf("%w: %d parts came, with sum %d, of %d with sum %d", ErrParts, came, was.sum, m.Parts, m.Sum)
	}
	if len(was.bookmark) > 0 {
		m.Bookmark = was.bookmark
	}
	if len(was.gap) > 0 {
		m.Gap = was.gap
	}
	return nil
}
