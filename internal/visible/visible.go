// Package visible makes text from elsewhere do nothing but appear: on a terminal control
// characters move the cursor, set its title, answer questions into its input.
package visible

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Writer writes to a terminal. What does not show itself is written as an escape, but
// for newlines and tabs: \x9b is a byte that is no UTF-8, \u009b a character. Not safe
// for concurrent use.
type Writer struct {
	w      io.Writer
	escape func(to []byte, r rune, encoded []byte) []byte // appends a character
	rest   []byte                                         // the beginning of a character whose end has not come yet
	buf    []byte
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w, escape: appendVisible} }

// Write implements io.Writer.
func (t *Writer) Write(b []byte) (int, error) {
	text := b
	if len(t.rest) > 0 {
		text = append(t.rest, b...)
	}
	t.buf, t.rest = t.buf[:0], nil
	for len(text) > 0 {
		if !utf8.FullRune(text) {
			t.rest = bytes.Clone(text)
			break
		}
		r, n := utf8.DecodeRune(text)
		t.buf = t.escape(t.buf, r, text[:n])
		text = text[n:]
	}
	if _, err := t.w.Write(t.buf); err != nil {
		return 0, err
	}
	return len(b), nil
}

func appendVisible(to []byte, r rune, encoded []byte) []byte {
	switch {
	case r == utf8.RuneError && len(encoded) == 1:
		return fmt.Appendf(to, `\x%02x`, encoded[0])
	case r == '\n' || r == '\t' || unicode.IsGraphic(r):
		return append(to, encoded...)
	case r > 0xffff:
		return fmt.Appendf(to, `\U%08x`, r)
	}
	return fmt.Appendf(to, `\u%04x`, r)
}

// Text returns text as a Writer would write it.
func Text(text string) string {
	var out bytes.Buffer
	t := NewWriter(&out)
	_, _ = t.Write([]byte(text)) // to memory
	for _, b := range t.rest {
		fmt.Fprintf(&out, `\x%02x`, b)
	}
	return out.String()
}

// Line returns text on one line, as a Writer would write it.
func Line(text string) string { return strings.ReplaceAll(Text(text), "\n", `\n`) }

// JSON returns a writer of JSON texts, each whole, in which the characters from 0x7f to
// 0x9f are escaped, as encoding/json escapes those below 0x20 only.
func JSON(w io.Writer) io.Writer { return &Writer{w: w, escape: appendJSON} }

func appendJSON(to []byte, r rune, encoded []byte) []byte {
	if 0x7f <= r && r <= 0x9f {
		return fmt.Appendf(to, `\u%04x`, r)
	}
	return append(to, encoded...)
}
