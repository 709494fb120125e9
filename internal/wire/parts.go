package wire

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

const (
	// PartBytes is the longest part of a vector or of a list of gaps in one frame, in bytes. A
	// longer text is split, however long a frame the other side accepts.
	PartBytes = 32 << 10

	// MaxVector is the largest number of publishers in a vector that comes in parts.
	MaxVector = 1 << 20
)

// maxEntryBytes is the largest size in bytes of one entry of a vector or of a list of gaps,
// comma included.
const maxEntryBytes = 64

var (
	// ErrParts reports a vector that could not be assembled: a part is missing, or parts of two
	// vectors are mixed up.
	ErrParts = errors.New("wire: vector in parts is incomplete")
	// ErrVectorTooLong reports a vector in parts that has too many publishers.
	ErrVectorTooLong = errors.New("wire: vector in parts names too many publishers")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CutPart cuts the comma list text after as many entries as fit into PartBytes. rest is the list
// after the comma. It is empty if all of text fits.
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

// A splitter writes all frames of a split text except the last one.
type splitter struct {
	parts uint64 // number of parts so far
	sum   uint32 // over all parts, the last one included
}

// cut calls frame with each part of text except the last part, and returns the last part.
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

// appendEnd appends parts and sum to the header of the last frame, if there were parts.
func (s *splitter) appendEnd(dst []byte) []byte {
	if s.parts == 0 {
		return dst
	}
	dst = appendNumber(dst, `,"parts":`, s.parts, true)
	return appendNumber(dst, `,"sum":`, uint64(s.sum), true)
}

// An Assembly assembles the values of bm and gap from parts. It holds one text at a time, and a
// part with the number 1 discards the previous text. The zero Assembly is ready for use.
type Assembly struct {
	id            []byte
	parts         uint64
	sum           uint32
	entries       int
	bookmark, gap []byte
	err           error // the reason why the text cannot be completed
}

// Add adds a part: a message whose Part is not 0. limit is the maximum number of entries over
// all parts; 0 means no limit. Beyond the limit, Add drops the text and returns false.
func (a *Assembly) Add(m *Message, limit int) bool {
	if m.Part == 1 {
		*a = Assembly{id: bytes.Clone(m.CommandID)}
	}
	if a.err != nil {
		return a.err != ErrVectorTooLong
	}
	if m.Part != a.parts+1 || !bytes.Equal(a.id, m.CommandID) {
		*a = Assembly{err: fmt.Errorf("%w: part %d came after part %d", ErrParts, m.Part, a.parts)}
		return true
	}
	a.parts++
	a.addTexts(m)
	if limit > 0 && (a.entries > limit || len(a.bookmark)+len(a.gap) > maxEntryBytes*limit) {
		*a = Assembly{err: ErrVectorTooLong}
		return false
	}
	return true
}

// Size returns the number of bytes that the Assembly holds.
func (a *Assembly) Size() int { return cap(a.bookmark) + cap(a.gap) }

// addTexts adds the bookmark and the gap of a frame.
func (a *Assembly) addTexts(m *Message) {
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

// Complete adds the last frame, whose Parts and Sum describe the parts before it, and sets its
// Bookmark and Gap to the whole texts. A message without Parts stays as it is. The Assembly is
// empty afterwards.
func (a *Assembly) Complete(m *Message) error {
	whole := *a
	*a = Assembly{}
	if m.Parts == 0 {
		return nil
	}
	if whole.err != nil && !failpoint.On(failpoint.R9PartMissing) {
		return whole.err
	}
	parts := whole.parts
	mixed := !bytes.Equal(whole.id, m.CommandID)
	whole.addTexts(m)
	if (mixed || parts != m.Parts || uint64(whole.sum) != m.Sum) && !failpoint.On(failpoint.R9PartMissing) {
		return fmt.Errorf("%w: got %d parts with sum %d, want %d with sum %d", ErrParts, parts, whole.sum, m.Parts, m.Sum)
	}
	if len(whole.bookmark) > 0 {
		m.Bookmark = whole.bookmark
	}
	if len(whole.gap) > 0 {
		m.Gap = whole.gap
	}
	return nil
}
