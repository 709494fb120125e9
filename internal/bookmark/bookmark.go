// Package bookmark holds the identity of a message, (publisher, sequence),
// its text on the wire, and the version vector that says what has been seen.
package bookmark

// A Bookmark names one message. It is the same on every instance.
// Sequences start at 1; the zero Bookmark names nothing.
type Bookmark struct {
	Publisher uint64
	Sequence  uint64
}

// A Vector says for each publisher the highest sequence that has been seen;
// an absent publisher is at 0. It isn't safe for concurrent use.
type Vector map[uint64]uint64

// Covers reports whether b has been seen.
func (v Vector) Covers(b Bookmark) bool { return b.Sequence <= v[b.Publisher] }
