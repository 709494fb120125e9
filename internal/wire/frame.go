package wire

import (
	"encoding/binary"
	"errors"
	"io"
)

const (
	prefixLen = 4        // bytes of the length before each frame
	minBuffer = 4 << 10  // initial size of the buffer
	maxBuffer = 64 << 10 // a larger buffer is used only for one frame that needs it
	maxEmpty  = 100      // reads in a row that return neither bytes nor an error
)

// A Reader reads frames from a connection. If a call fails with a temporary error of the
// connection, such as a deadline, it can be repeated without loss. A Reader is not safe for
// concurrent use.
type Reader struct {
	conn     io.Reader
	max      int
	onResize func(bytes int) bool // nil: the buffer may have any size

	buf        []byte
	start, end int    // buf[start:end] was read and is not used yet
	filled     bool   // the last read filled all the room that it had
	tooLarge   uint32 // length of the frame at start if it is longer than max; otherwise 0
	skip       int64  // bytes to skip before the next frame
}

// NewReader returns a reader that refuses frames longer than max bytes.
func NewReader(r io.Reader, max int) *Reader {
	return &Reader{conn: r, max: max}
}

// ErrNoMemory reports that the buffer may not grow enough for the next frame.
var ErrNoMemory = errors.New("wire: no memory for a longer frame")

// OnResize sets a function that is called before the buffer changes its size, with the
// difference in bytes. If the function returns false for a buffer that grows, Next returns
// ErrNoMemory.
func (r *Reader) OnResize(f func(bytes int) bool) { r.onResize = f }

// SetMax sets the limit for the following frames, in bytes.
func (r *Reader) SetMax(max int) { r.max = max }

// Next returns the content of the next frame, without the length prefix. The result is valid
// until the next call. Empty frames are skipped. If a frame is longer than the limit, Next takes
// no memory for it and returns a TooLargeError. At the end of the connection the error is io.EOF
// between two frames and io.ErrUnexpectedEOF within a frame.
func (r *Reader) Next() ([]byte, error) {
	if err := r.skipBody(); err != nil {
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

// NextTooLarge reads only the header of a frame for which Next has returned a *TooLargeError, up
// to MaxHeader bytes. The result is valid until the next call. The next call of Next skips the
// body, so that the session can continue (R14).
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

// Buffered returns the number of bytes that were read and not returned yet.
func (r *Reader) Buffered() int { return r.end - r.start }

// skipBody skips the rest of a frame that was too large.
func (r *Reader) skipBody() error {
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

// fill reads until buf[start:end] holds n bytes.
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

// read reads once from the connection. n is the number of bytes that the caller needs.
func (r *Reader) read(n int) error {
	if !r.makeRoom(n) {
		return ErrNoMemory
	}
	for range maxEmpty {
		room := r.buf[r.end:]
		got, err := r.conn.Read(room)
		r.end += got
		r.filled = got == len(room)
		if got > 0 {
			return nil // an error that came with the bytes comes again with the next read
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom makes room after the bytes that were read. It returns false if the buffer may not
// grow. A frame can claim any length, so the buffer at most doubles, and only after received
// bytes have filled it. Above maxBuffer it grows only up to n, the length of the frame.
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

// resize moves the unused bytes to a buffer of another size. It returns false if onResize
// refuses the size.
func (r *Reader) resize(size int) bool {
	if r.onResize != nil && !r.onResize(size-len(r.buf)) {
		return false
	}
	r.move(make([]byte, size))
	return true
}

// move moves the unused bytes to the start of a buffer.
func (r *Reader) move(to []byte) {
	n := copy(to, r.buf[r.start:r.end])
	r.buf, r.start, r.end = to, 0, n
}

// shrink releases a buffer that had grown for a large frame.
func (r *Reader) shrink() {
	if len(r.buf) > maxBuffer && r.end-r.start <= maxBuffer {
		r.resize(maxBuffer)
	}
}

// beginFrame appends room for the length of a frame, and the start of its header: the command,
// and the command id unless it is empty. start is the offset of the frame.
func beginFrame(dst []byte, command, id string) (longer []byte, start int) {
	start = len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = append(dst, `{"c":"`...)
	dst = append(dst, command...)
	dst = append(dst, '"')
	return appendText(dst, `,"cid":`, id), start
}

// endFrame ends the header of the frame that begins at start, appends the body, and sets the
// length.
func endFrame(dst []byte, start int, body []byte) []byte {
	dst = append(dst, '}')
	dst = append(dst, body...)
	setLength(dst, start)
	return dst
}

// setLength sets the length of the frame that begins at start and ends with b.
func setLength(b []byte, start int) {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-prefixLen))
}
