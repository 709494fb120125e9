package wire

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// escapes has the letters of the short escapes. escaped has their meanings in the same order.
const (
	escapes = `"\/bfnrt`
	escaped = "\"\\/\b\f\n\r\t"
)

// unescape is like parseQuoted, for a text whose first escape is at b[first].
func (m *Message) unescape(b []byte, i, first int) (text []byte, end int, err error) {
	from := len(m.scratch)
	out := append(m.scratch, b[i+1:first]...)
	for j := first; j < len(b); {
		switch c := b[j]; c {
		case '"':
			m.scratch = out
			return out[from:len(out):len(out)], j + 1, nil
		case '\\':
			n := 0
			if out, n = appendUnescaped(out, b[j:]); n == 0 {
				return nil, 0, &HeaderError{j, "not an escape"}
			}
			j += n
		default:
			out = append(out, c)
			j++
		}
	}
	return nil, 0, &HeaderError{i, "no closing quote"}
}

// appendUnescaped appends the meaning of the escape at the start of b, and returns the length
// of the escape. The length is 0 if b does not begin with an escape.
func appendUnescaped(dst, b []byte) ([]byte, int) {
	if i := strings.IndexByte(escapes, byteAt(b, 1)); i >= 0 {
		return append(dst, escaped[i]), 2
	}
	r := hexEscape(b)
	if r < 0 {
		return dst, 0
	}
	if utf16.IsSurrogate(r) {
		if pair := utf16.DecodeRune(r, hexEscape(b[6:])); pair != utf8.RuneError {
			return utf8.AppendRune(dst, pair), 12
		}
	}
	return utf8.AppendRune(dst, r), 6 // half a surrogate pair becomes U+FFFD
}

// hexEscape returns the number in the \uXXXX at the start of b, or -1.
func hexEscape(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	r, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(r)
}

// appendQuoted appends s in quotes. It copies bytes from 0x80 on, as part of UTF-8.
func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' {
			dst = append(dst, s[from:i]...)
			dst = appendEscape(dst, c)
			from = i + 1
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	if i := strings.IndexByte(escaped, c); i >= 0 {
		return append(dst, '\\', escapes[i])
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// The functions below append a pair of key and value. Their argument key is the comma before
// the pair, the key in quotes, and the colon.

// appendText appends nothing if the text is empty.
func appendText[T string | []byte](dst []byte, key string, s T) []byte {
	if len(s) == 0 {
		return dst
	}
	dst = append(dst, key...)
	return appendQuoted(dst, s)
}

// appendNumber appends nothing if has is false.
func appendNumber(dst []byte, key string, n uint64, has bool) []byte {
	if !has {
		return dst
	}
	dst = append(dst, key...)
	return strconv.AppendUint(dst, n, 10)
}

// appendAcks appends nothing if acks is empty.
func appendAcks(dst []byte, acks AckType) []byte {
	if acks == 0 {
		return dst
	}
	dst = append(dst, `,"a":"`...)
	dst = acks.AppendText(dst)
	return append(dst, '"')
}
