package wire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/record"
)

// stretchName is the command of a stretch: deliveries as records, all of them for the
// same subscriptions. It is of our extensions, S→C.
//
//	{"c":"stretch","sids":"1,4"}entries
//
// An entry is the length of what follows of it, 4 bytes, the time when the server took
// the message, 8 bytes, microseconds since the Unix epoch, 0 if no subscription asked for it,
// both little endian, and the record (package record), without the check of its publisher.
const stretchName = "stretch"

// MaxStretch is the longest stretch that is written, its length included: it fits into
// the buffer of a reader. A message that does not fit is a [Delivery].
const MaxStretch = maxBuffer

const (
	timeLen   = 8 // bytes of the time of an entry
	entryRoom = record.LengthLen + timeLen
)

// An OpenStretch is the stretch that a buffer ends with. Anything else that is appended to
// the buffer ends the stretch, and so does the zero value.
type OpenStretch struct{ start, end int }

// Takes reports whether a record of so many bytes fits into the stretch that dst ends with.
func (s *OpenStretch) Takes(dst []byte, record int) bool {
	return s.end > 0 && s.end == len(dst) && s.end-s.start+entryRoom+record <= MaxStretch
}

// FitsStretch reports whether a record of so many bytes fits into a stretch for a comma
// list of subscriptions.
func FitsStretch(subIDs []byte, record int) bool {
	const escaped, head = len(`\u0000`), prefixLen + len(`{"c":"`+stretchName+`","sids":""}`)
	return head+escaped*len(subIDs)+entryRoom+record <= MaxStretch
}

// Begin appends the start of a stretch for a comma list of subscriptions.
func (s *OpenStretch) Begin(dst, subIDs []byte) []byte {
	dst, s.start = beginFrame(dst, stretchName, "")
	dst = appendText(dst, `,"sids":`, subIDs)
	dst = endFrame(dst, s.start, nil)
	s.end = len(dst)
	return dst
}

// Add appends a record to the stretch that dst ends with.
func (s *OpenStretch) Add(dst []byte, time int64, raw []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(timeLen+len(raw)))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(time))
	dst = append(dst, raw...)
	setLength(dst, s.start)
	s.end = len(dst)
	return dst
}

// An Entry is an entry of a stretch: a message, with its time.
type Entry = record.Record

// TakeEntry takes the first entry from what is left of a stretch, which shares memory with the stretch. More is false if nothing was left.
func TakeEntry(stretch []byte, r *Entry) (rest []byte, more bool, err error) {
	if len(stretch) == 0 {
		return nil, false, nil
	}
	entry, rest, whole := record.CutFramed(stretch)
	if !whole || len(entry) < timeLen {
		return nil, false, fmt.Errorf("%w: it is cut", ErrStretch)
	}
	if err := record.Parse(entry[timeLen:], r); err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrStretch, err)
	}
	if r.Kind != record.Message {
		return nil, false, fmt.Errorf("%w: a record of %v", ErrStretch, r.Kind)
	}
	r.Time = int64(binary.LittleEndian.Uint64(entry))
	return rest, true, nil
}

// ErrStretch reports what is not a stretch.
var ErrStretch = errors.New("malformed stretch")
