// Package visible makes untrusted text safe to show. Control characters in such a text could move
// the cursor of a terminal, set its title, or put replies into its input.
package visible

import (
	"bytes"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"
)

// A Writer writes text for a terminal. It writes newlines, tabs and visible characters as they are,
// and everything else as an escape: \x9b is a byte that is not UTF-8, \u009b is a character. A
// Writer is not safe for concurrent use.
type Writer struct {
	w      io.Writer
	escape func(to []byte, r rune, encoded []byte) []byte // appends one character
	rest   []byte                                         // the start of a character; its other bytes come with the next Write
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

// Text returns text in the form in which a Writer writes it.
func Text(text string) string {
	var out bytes.Buffer
	t := NewWriter(&out)
	_, _ = t.Write([]byte(text)) // a buffer in memory never fails
	for _, b := range t.rest {
		fmt.Fprintf(&out, `\x%02x`, b)
	}
	return out.String()
}

// NewJSONWriter returns a writer for JSON texts. It escapes the characters from 0x7f to 0x9f, since
// encoding/json escapes only those below 0x20. The caller writes whole texts.
func NewJSONWriter(w io.Writer) io.Writer { return &Writer{w: w, escape: appendJSON} }

func appendJSON(to []byte, r rune, encoded []byte) []byte {
	if 0x7f <= r && r <= 0x9f {
		return fmt.Appendf(to, `\u%04x`, r)
	}
	return append(to, encoded...)
}
