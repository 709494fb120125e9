package wire

import (
	"encoding/binary"
	"errors"
	"io"
)

const (
	prefixLen = 4        // bytes of a frame's length
	minBuffer = 4 << 10  // of a connection that says little
	maxBuffer = 64 << 10 // beyond it only for a frame that is larger, and no longer
	maxEmpty  = 100      // reads in a row that return nothing and no error
)

// A Reader reads frames from a connection. After an error of the connection
// that goes by, such as a deadline, the call can be repeated; nothing is lost.
// It isn't safe for concurrent use.
type Reader struct {
	conn io.Reader
	max  int
	hold func(bytes int) bool // nil: the buffer may be of any size

	buf        []byte
	start, end int    // what was read and isn't used yet is buf[start:end]
	filled     bool   // the last read found as much as there was room for
	tooLarge   uint32 // size of the frame at start, if it is beyond max
	skip       int64  // bytes to pass over before the next frame
}

// NewReader returns a reader that refuses frames longer than max bytes.
func NewReader(r io.Reader, max int) *Reader {
	return &Reader{conn: r, max: max}
}

// ErrBuffer reports a frame for which the buffer may not grow.
var ErrBuffer = errors.New("wire: no memory for a longer frame")

// Account has hold called with how much larger or smaller the buffer is to become. If
// it returns false for one that grows, Next returns ErrBuffer.
func (r *Reader) Account(hold func(bytes int) bool) { r.hold = hold }

// Limit makes max the limit from the next frame on.
func (r *Reader) Limit(max int) { r.max = max }

// Next returns the next frame's content, without its length prefix, valid
// until the next call. Empty frames are passed over. A frame beyond the limit
// is a *TooLargeError, before any memory is taken for it. The end of the
// connection is io.EOF between two frames and io.ErrUnexpectedEOF within one.
func (r *Reader) Next() ([]byte, error) {
	if err := r.passOver(); err != nil {
		return nil, err
	}
	r.shrink()
	for {
		if err := r.fill(prefixLen); err != nil {
			return nil, err
		}
		size := binary.BigEndian.Uint32(r.buf[r.start:])
		if uint64(size) > uint64(r.max) {
			r.tooLarge = size
			return nil, &TooLargeError{Size: size, Max: r.max}
		}
		if err := r.fill(prefixLen + int(size)); err != nil {
			return nil, err
		}
		frame := r.buf[r.start+prefixLen:][:size:size]
		r.start += prefixLen + int(size)
		if size > 0 {
			return frame, nil
		}
	}
}

// NextTooLarge, after Next returned a *TooLargeError, reads and returns only
// the header (up to MaxHeader bytes) of that frame, valid until the next call,
// and has Next skip its body, so that the reader can go on (R14).
func (r *Reader) NextTooLarge() (header []byte, err error) {
	if r.tooLarge == 0 {
		panic("BUG: NextTooLarge without a frame that is too large")
	}
	n := int(min(r.tooLarge, MaxHeader))
	if err := r.fill(prefixLen + n); err != nil {
		return nil, err
	}
	header = r.buf[r.start+prefixLen:][:n]
	end := headerEnd(header)
	if end < 0 {
		return nil, &HeaderError{n, "no closing brace"}
	}
	r.start += prefixLen + n
	r.skip = int64(r.tooLarge) - int64(n)
	r.tooLarge = 0
	return header[:end:end], nil
}

// Buffered returns how many bytes can be read without waiting for the connection.
func (r *Reader) Buffered() int { return r.end - r.start }

// passOver drops the rest of a frame that was too large.
func (r *Reader) passOver() error {
	for r.skip > 0 {
		if r.start == r.end {
			if err := r.read(1); err == io.EOF {
				return io.ErrUnexpectedEOF
			} else if err != nil {
				return err
			}
		}
		n := int(min(r.skip, int64(r.end-r.start)))
		r.start += n
		r.skip -= int64(n)
	}
	return nil
}

// fill reads until buf[start:] holds n bytes.
func (r *Reader) fill(n int) error {
	for r.end-r.start < n {
		if err := r.read(n); err == io.EOF && r.end > r.start {
			return io.ErrUnexpectedEOF
		} else if err != nil {
			return err
		}
	}
	return nil
}

// read reads once from the connection, for one who waits for n bytes.
func (r *Reader) read(n int) error {
	if !r.makeRoom(n) {
		return ErrBuffer
	}
	for range maxEmpty {
		room := r.buf[r.end:]
		got, err := r.conn.Read(room)
		r.end += got
		r.filled = got == len(room)
		if got > 0 {
			return nil // the error will come again
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom makes room behind what has been read. The buffer is no longer than
// twice what has really arrived, or maxBuffer, whatever length a frame claims, and no
// longer than a frame that is longer than that. False: it may not grow.
func (r *Reader) makeRoom(n int) bool {
	have := r.end - r.start
	size := len(r.buf)
	switch {
	case size == 0:
		size = minBuffer
	case have == size && have < n, r.filled && size < maxBuffer:
		size = min(2*size, max(n, maxBuffer))
	}
	if size > len(r.buf) {
		return r.resize(size)
	} else if have == 0 || r.start+n > size && r.start > 0 {
		r.move(r.buf)
	}
	return true
}

// resize moves what is left to a buffer of another size. False: it may not be larger.
func (r *Reader) resize(size int) bool {
	if r.hold != nil && !r.hold(size-len(r.buf)) {
		return false
	}
	r.move(make([]byte, size))
	return true
}

// move moves what is left to the start of a buffer.
func (r *Reader) move(to []byte) {
	n := copy(to, r.buf[r.start:r.end])
	r.buf, r.start, r.end = to, 0, n
}

// shrink lets go of a buffer that had grown for a large frame.
func (r *Reader) shrink() {
	if len(r.buf) > maxBuffer && r.end-r.start <= maxBuffer {
		r.resize(maxBuffer)
	}
}

// beginFrame appends room for a frame's length and the start of its header, with the id
// of the command, if there is one. The frame begins at start.
func beginFrame(dst []byte, command, id string) (begun []byte, start int) {
	start = len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = append(dst, `{"c":"`...)
	dst = append(dst, command...)
	dst = append(dst, '"')
	return appendText(dst, `,"cid":`, id), start
}

// endFrame ends the header, appends the body and sets the length of the frame
// that begins at start.
func endFrame(dst []byte, start int, body []byte) []byte {
	dst = append(dst, '}')
	dst = append(dst, body...)
	setLength(dst, start)
	return dst
}

// setLength sets the length of the frame that begins at start, to the end of b.
func setLength(b []byte, start int) {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-prefixLen))
}
