package wire

import "io"

// A Reader reads frames from a connection. It isn't safe for concurrent use.
type Reader struct{}

// NewReader returns a reader that refuses frames longer than max bytes.
func NewReader(r io.Reader, max int) *Reader { panic("TODO") }

// Next returns the next frame's content, without its length prefix, valid
// until the next call. Empty frames are passed over. A frame beyond the limit
// is a *TooLargeError, before any memory is taken for it.
func (r *Reader) Next() ([]byte, error) { panic("TODO") }

// Buffered returns how many bytes can be read without waiting for the connection.
func (r *Reader) Buffered() int { panic("TODO") }

// NextTooLarge, after Next returned a *TooLargeError, reads and returns only
// the header (up to MaxHeader bytes) of that frame and skips its body, so that
// the reader can go on (R14).
func (r *Reader) NextTooLarge() (header []byte, err error) { panic("TODO") }

// Parse parses one frame's content into m, forgetting what m held. For
// Command SOW the records stand in m.Body, see NextRecord. It does not
// allocate once m's scratch has grown.
func Parse(frame []byte, m *Message) error { panic("TODO") }
