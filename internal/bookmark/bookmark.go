// Package bookmark has the identity of a message, (publisher, sequence), its text on the
// wire, and the version vector, which covers the messages that a reader has seen.
package bookmark

import (
	"bytes"
	"errors"
	"math"
	"strconv"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// MaxSequence is the highest sequence. Higher numbers from outside are refused, so that
// sums cannot overflow.
const MaxSequence = 1<<63 - 1

// InRange reports whether a number from outside is at most MaxSequence.
func InRange(n uint64) bool { return n <= MaxSequence || failpoint.On(failpoint.R1AnyNumber) }

// A Bookmark names one message. It is the same on every instance. Sequences start at 1; the
// zero Bookmark names no message.
type Bookmark struct {
	Publisher uint64
	Sequence  uint64
}

// Parse parses "publisher|sequence|", both decimal. The last bar may be missing, because
// some clients omit it.
func Parse(text []byte) (Bookmark, error) {
	pub, rest, found := bytes.Cut(text, []byte("|"))
	if !found {
		return Bookmark{}, syntaxError(text, "no bar after the publisher")
	}
	seq, rest, _ := bytes.Cut(rest, []byte("|"))
	if len(rest) != 0 {
		return Bookmark{}, syntaxError(text, "text after the second bar")
	}
	var b Bookmark
	var ok bool
	if b.Publisher, ok = ParseUint(pub); !ok {
		return Bookmark{}, syntaxError(text, "the publisher is not a 64-bit number")
	}
	if b.Sequence, ok = ParseUint(seq); !ok {
		return Bookmark{}, syntaxError(text, "the sequence is not a 64-bit number")
	}
	if !InRange(b.Sequence) {
		return Bookmark{}, syntaxError(text, "the sequence is above 2^63-1")
	}
	return b, nil
}

// AppendText appends "publisher|sequence|" to dst.
func (b Bookmark) AppendText(dst []byte) []byte {
	dst = strconv.AppendUint(dst, b.Publisher, 10)
	dst = append(dst, '|')
	dst = strconv.AppendUint(dst, b.Sequence, 10)
	return append(dst, '|')
}

// String returns "publisher|sequence|".
func (b Bookmark) String() string { return string(b.AppendText(nil)) }

// IsZero reports whether b names no message.
func (b Bookmark) IsZero() bool { return b == Bookmark{} }

// A SyntaxError reports a text that cannot be parsed.
type SyntaxError struct {
	Text   string // cut after the first 64 bytes
	Reason string
}

func (e *SyntaxError) Error() string {
	return "bookmark: " + strconv.Quote(e.Text) + ": " + e.Reason
}

// ErrRange reports a range of bookmarks, "(from:to)", which this server does not offer.
var ErrRange = errors.New("bookmark: ranges are not offered")

func syntaxError(text []byte, reason string) error {
	return &SyntaxError{Text: string(text[:min(len(text), 64)]), Reason: reason}
}

// ParseUint parses decimal digits without a sign.
func ParseUint(text []byte) (n uint64, ok bool) {
	if len(text) == 0 || len(text) > 20 {
		return 0, false
	}
	for _, c := range text {
		d := uint64(c - '0')
		if d > 9 || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}
