package wire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/record"
)

// stretchName is the command of a stretch, S→C. A stretch is one of our extensions: several
// deliveries to the same subscriptions, as records.
//
//	{"c":"stretch","sids":"1,4"}entries
//
// An entry has three parts: the length of the rest of the entry, 4 bytes; the time at which the
// server took the message, 8 bytes, in microseconds since the Unix epoch, or 0 if no
// subscription asked for it; and the record (package record), without the check of its
// publisher. The numbers are little endian.
const stretchName = "stretch"

// MaxStretch is the length in bytes of the longest stretch that is written, its length prefix
// included. Such a stretch fits into the buffer of a reader. A message that does not fit into
// it is sent as a [Delivery].
const MaxStretch = maxBuffer

const (
	timeLen       = 8 // bytes of the time in an entry
	entryOverhead = record.LengthLen + timeLen
)

// An OpenStretch is the stretch at the end of a buffer. The stretch is closed as soon as
// anything else is appended to the buffer. The zero value is a closed stretch.
type OpenStretch struct{ start, end int }

// Fits reports whether a record of that many bytes fits into the open stretch at the end of dst.
func (s *OpenStretch) Fits(dst []byte, record int) bool {
	return s.end > 0 && s.end == len(dst) && s.end-s.start+entryOverhead+record <= MaxStretch
}

// FitsStretch reports whether a record of that many bytes fits into a new stretch for a comma
// list of subscriptions.
func FitsStretch(subIDs []byte, record int) bool {
	const escaped, head = len(`\u0000`), prefixLen + len(`{"c":"`+stretchName+`","sids":""}`)
	return head+escaped*len(subIDs)+entryOverhead+record <= MaxStretch
}

// Begin appends a stretch without entries for a comma list of subscriptions.
func (s *OpenStretch) Begin(dst, subIDs []byte) []byte {
	dst, s.start = beginFrame(dst, stretchName, "")
	dst = appendText(dst, `,"sids":`, subIDs)
	dst = endFrame(dst, s.start, nil)
	s.end = len(dst)
	return dst
}

// Add appends a record to the stretch at the end of dst. time is the time at which the server
// took the message, in microseconds since the Unix epoch, or 0.
func (s *OpenStretch) Add(dst []byte, time int64, raw []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(timeLen+len(raw)))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(time))
	dst = append(dst, raw...)
	setLength(dst, s.start)
	s.end = len(dst)
	return dst
}

// An Entry is an entry of a stretch: a message with its time.
type Entry = record.Record

// NextEntry takes the first entry from the unread rest of a stretch. r shares memory with
// stretch. more is false at the end of the stretch.
func NextEntry(stretch []byte, r *Entry) (rest []byte, more bool, err error) {
	if len(stretch) == 0 {
		return nil, false, nil
	}
	entry, rest, whole := record.CutFramed(stretch)
	if !whole || len(entry) < timeLen {
		return nil, false, fmt.Errorf("%w: an entry is truncated", ErrStretch)
	}
	if err := record.Parse(entry[timeLen:], r); err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrStretch, err)
	}
	if r.Kind != record.Message {
		return nil, false, fmt.Errorf("%w: an entry is a record of kind %v", ErrStretch, r.Kind)
	}
	r.Time = int64(binary.LittleEndian.Uint64(entry))
	return rest, true, nil
}

// ErrStretch reports a malformed stretch.
var ErrStretch = errors.New("malformed stretch")
