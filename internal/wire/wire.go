package wire

import "fmt"

// MaxFrame is the default limit of a reader for a frame, header and body together, in bytes.
const MaxFrame = 16<<20 + 64<<10

// MinFrame is a frame length in bytes that every server accepts from a client that is logged on.
// A server with a lower limit on messages still has to accept long subscribe commands.
const MinFrame = 1 << 20

// MaxHeader is the longest header in bytes. The values of bm and gap are not counted, because
// they have one entry for each publisher.
const MaxHeader = 64 << 10

// A HeaderError reports a malformed header. The rest of the frame cannot be trusted either.
type HeaderError struct {
	Offset int // in bytes from the start of the header
	Reason string
}

func (e *HeaderError) Error() string {
	return fmt.Sprintf("wire: header, offset %d: %s", e.Offset, e.Reason)
}

// A TooLargeError reports a frame that is longer than the reader's limit.
type TooLargeError struct {
	Size uint32 // from the length prefix
	Max  int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("wire: a frame of %d bytes is longer than the limit of %d", e.Size, e.Max)
}
