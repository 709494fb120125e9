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
	w    io.Writer
	rest []byte // the beginning of a character whose end has not come yet
	buf  []byte
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

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
		t.buf = appendVisible(t.buf, r, text[:n])
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
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = Line(line)
	}
	return strings.Join(lines, "\n")
}

// Line returns text on one line, as a Writer would write it.
func Line(text string) string {
	var out bytes.Buffer
	t := NewWriter(&out)
	for i, line := range bytes.Split([]byte(text), []byte("\n")) {
		if i > 0 {
			out.WriteString(`\n`)
		}
		_, _ = t.Write(line) // to memory
	}
	for _, b := range t.rest {
		fmt.Fprintf(&out, `\x%02x`, b)
	}
	return out.String()
}

// JSON returns a writer of JSON texts, each whole, in which the characters from 0x7f to
// 0x9f are escaped, as encoding/json escapes those below 0x20 only.
func JSON(w io.Writer) io.Writer { return jsonWriter{w} }

type jsonWriter struct{ w io.Writer }

func (j jsonWriter) Write(b []byte) (int, error) {
	if _, err := j.w.Write(escapeJSON(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// escapeJSON returns b itself if there is nothing to escape.
func escapeJSON(b []byte) []byte {
	var out []byte
	done := 0
	for i := 0; i < len(b); i++ {
		n := controlAt(b[i:])
		if n == 0 {
			continue
		}
		out = fmt.Appendf(append(out, b[done:i]...), `\u%04x`, b[i+n-1])
		i += n - 1
		done = i + 1
	}
	if done == 0 {
		return b
	}
	return append(out, b[done:]...)
}

// controlAt returns how many bytes the character from 0x7f to 0x9f has that b begins
// with, 0 if it is another one. The last byte is its number.
func controlAt(b []byte) int {
	switch {
	case b[0] == 0x7f:
		return 1
	case b[0] == 0xc2 && len(b) > 1 && b[1] >= 0x80 && b[1] <= 0x9f:
		return 2
	}
	return 0
}
