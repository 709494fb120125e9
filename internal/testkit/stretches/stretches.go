// Package stretches has tests read stretches as the deliveries that they stand for.
package stretches

import (
	"encoding/binary"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

const lengthSize = 4 // bytes of a frame's length

// A Reader reads frames as a [wire.Reader] does, and each stretch as single deliveries.
type Reader struct {
	*wire.Reader
	rest []byte // of the deliveries
}

// NewReader returns a reader of the frames of in.
func NewReader(in *wire.Reader) *Reader { return &Reader{Reader: in} }

// Next returns the next frame's content, valid until the next call.
func (r *Reader) Next() ([]byte, error) {
	for len(r.rest) == 0 {
		frame, err := r.Reader.Next()
		if err != nil {
			return nil, err
		}
		var m wire.Message
		if wire.Parse(frame, &m) != nil || m.Command != wire.Stretch {
			return frame, nil
		}
		if r.rest, err = Expand(&m, nil); err != nil {
			return nil, err
		}
	}
	var frame []byte
	frame, r.rest = Cut(r.rest)
	return frame[lengthSize:], nil
}

// Cut cuts the first frame off, its length included.
func Cut(frames []byte) (frame, rest []byte) {
	n := lengthSize + int(binary.BigEndian.Uint32(frames))
	return frames[:n:n], frames[n:]
}

// Expand returns the frames of the deliveries that a stretch stands for, and rest after them.
func Expand(m *wire.Message, rest []byte) (frames []byte, err error) {
	var r wire.Entry
	for left := m.Body; ; {
		behind, more, err := wire.NextEntry(left, &r)
		if err != nil || !more {
			return append(frames, rest...), err
		}
		d := wire.Delivery{
			Topic: r.Topic, Bookmark: bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence}, Timestamp: r.Time,
			SubIDs: m.SubIDs, CorrelationID: r.CorrelationID, UserID: r.User, Headers: r.Headers, Body: r.Body,
		}
		frames, left = d.AppendTo(frames), behind
	}
}
