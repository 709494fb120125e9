package pubstore

import "fmt"

const (
	defaultMaxMessage = 16 << 20
	// maxHeader bounds topic, key and correlation id together, as the wire does.
	maxHeader = 64 << 10
)

// A TooLargeError reports a message that the store, or the server, never takes.
// Nothing was stored.
type TooLargeError struct {
	Size, Max int // in bytes
	// Header says that it is topic, key and correlation id that are too large.
	Header bool
}

func (e *TooLargeError) Error() string {
	what := "message"
	if e.Header {
		what = "header of a message"
	}
	return fmt.Sprintf("%s of %d bytes, the limit is %d", what, e.Size, e.Max)
}

// checkSize returns a *TooLargeError if a message is larger than max bytes.
func checkSize(m *Message, max int) error {
	if header := m.Size() - len(m.Body); header > maxHeader {
		return &TooLargeError{Size: header, Max: maxHeader, Header: true}
	}
	if m.Size() > max {
		return &TooLargeError{Size: m.Size(), Max: max}
	}
	return nil
}
