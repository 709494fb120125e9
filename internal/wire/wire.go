package wire

import "fmt"

// MaxFrame is the longest frame, header and body together, that a reader
// takes unless it is told otherwise, in bytes.
const MaxFrame = 16<<20 + 64<<10

// LeastFrame is the longest frame that each server takes of a client that is
// logged on, in bytes: one with a small limit on messages has to take subscribes.
const LeastFrame = 1 << 20

// MaxHeader is the longest header in bytes. The values of bm and gap don't
// count: they have an entry for each publisher.
const MaxHeader = 64 << 10

// A HeaderError says what is wrong with a header. What follows it in the frame
// can't be trusted either.
type HeaderError struct {
	Offset int // in bytes from the start of the header
	Reason string
}

func (e *HeaderError) Error() string {
	return fmt.Sprintf("wire: header, offset %d: %s", e.Offset, e.Reason)
}

// A TooLargeError says that a frame is longer than the reader takes.
type TooLargeError struct {
	Size uint32 // what the length prefix says
	Max  int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("wire: a frame of %d bytes, more than %d", e.Size, e.Max)
}
