package wire

import (
	"encoding/base64"
	"encoding/binary"
	"math/bits"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// Parse parses the content of one frame into m and forgets the previous content of m. For the
// command SOW, m.Body holds the records, see NextRecord. Parse does not allocate once the
// scratch of m has grown. An error is a *HeaderError.
func Parse(frame []byte, m *Message) error {
	scratch := m.scratch[:0]
	if cap(scratch) > 2*MaxHeader {
		scratch = nil // one large bm must not occupy memory for ever
	}
	*m = Message{}
	m.scratch = scratch
	end, err := m.parseHeader(frame)
	if err != nil {
		return err
	}
	m.Body = frame[end:]
	return nil
}

// parseHeader sets fields of m from the header at the start of b, and returns the end of the
// header. It leaves the other fields as they are.
func (m *Message) parseHeader(b []byte) (end int, err error) {
	i := skipBlanks(b, 0)
	if byteAt(b, i) != '{' {
		return 0, &HeaderError{i, "no opening brace"}
	}
	i = skipBlanks(b, i+1)
	if byteAt(b, i) == '}' {
		return i + 1, nil
	}
	limit := MaxHeader
	for {
		unlimited := 0 // bytes of this pair that do not count towards the limit
		i, unlimited, err = m.parsePair(b, i)
		if err != nil {
			return 0, err
		}
		limit += unlimited
		if i > limit {
			return 0, &HeaderError{i, "longer than 64 KiB"}
		}
		i = skipBlanks(b, i)
		switch byteAt(b, i) {
		case ',':
			i = skipBlanks(b, i+1)
		case '}':
			return i + 1, nil
		default:
			return 0, &HeaderError{i, "neither a comma nor a closing brace after a value"}
		}
	}
}

// parsePair parses the pair at b[i:] and returns its end. unlimited is the number of its bytes
// that do not count towards the limit on headers.
func (m *Message) parsePair(b []byte, i int) (end, unlimited int, err error) {
	if byteAt(b, i) != '"' {
		return 0, 0, &HeaderError{i, "no key in quotes"}
	}
	key, i, err := m.parseKey(b, i)
	if err != nil {
		return 0, 0, err
	}
	i = skipBlanks(b, i)
	if byteAt(b, i) != ':' {
		return 0, 0, &HeaderError{i, "no colon after a key"}
	}
	start := skipBlanks(b, i+1)
	var value []byte
	if byteAt(b, start) == '"' {
		value, end, err = m.parseQuoted(b, start)
	} else {
		value, end, err = parseBare(b, start)
	}
	if err != nil {
		return 0, 0, err
	}
	if field := m.textField(key); field != nil {
		*field = value
		switch field {
		case &m.Bookmark, &m.Gap:
			unlimited = end - start
		case &m.Carried:
			m.HasCarried = value != nil
		}
		return end, unlimited, nil
	}
	if err := m.setField(key, value, start); err != nil {
		return 0, 0, err
	}
	return end, 0, nil
}

// setField sets a field that is not plain text. It skips unknown keys. A value of nil stands for
// null and leaves the field unset.
func (m *Message) setField(key, value []byte, at int) error {
	switch string(key) {
	case "c", "cmd":
		m.Command, m.CommandText = ParseCommand(value), value
		return nil
	case "a", "ack_type":
		m.Acks = ParseAcks(value)
		return nil
	case "catching_up":
		m.CatchingUp = string(value) == "true"
		return nil
	case "headers":
		return m.decodeHeaders(value, at)
	}
	n, present := m.numberField(key)
	if n == nil || value == nil {
		return nil
	}
	parsed, ok := bookmark.ParseUint(value)
	if !ok {
		return &HeaderError{at, "the value of " + string(key) + " is not a 64-bit number"}
	}
	if !bookmark.InRange(parsed) {
		return &HeaderError{at, "the value of " + string(key) + " is above 2^63-1"}
	}
	*n = parsed
	if present != nil {
		*present = true
	}
	return nil
}

// decodeHeaders sets Headers to the headers that value has in base-64. It does not check them.
func (m *Message) decodeHeaders(value []byte, at int) error {
	from := len(m.scratch)
	longer, err := base64.StdEncoding.AppendDecode(m.scratch, value)
	if err != nil {
		return &HeaderError{at, "the value of headers is not base-64"}
	}
	m.scratch, m.Headers = longer, nil
	if len(longer) > from {
		m.Headers = longer[from:len(longer):len(longer)]
	}
	return nil
}

// parseKey is like parseQuoted, and faster for short texts.
func (m *Message) parseKey(b []byte, i int) (text []byte, end int, err error) {
	for j := i + 1; j < len(b); j++ {
		switch b[j] {
		case '"':
			return b[i+1 : j], j + 1, nil
		case '\\':
			return m.unescape(b, i, j)
		}
	}
	return nil, 0, &HeaderError{i, "no closing quote"}
}

// parseQuoted returns the text between the quote at b[i] and the next quote, and the offset
// after that quote.
func (m *Message) parseQuoted(b []byte, i int) (text []byte, end int, err error) {
	j := textEnd(b, i+1)
	if j == len(b) {
		return nil, 0, &HeaderError{i, "no closing quote"}
	}
	if b[j] == '\\' {
		return m.unescape(b, i, j)
	}
	return b[i+1 : j : j], j + 1, nil
}

// textEnd returns the offset of the first quote or backslash in b[i:], or len(b). It examines
// eight bytes at a time, because parsing spends most of its time here.
func textEnd(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		word := binary.LittleEndian.Uint64(b[i:])
		if found := zeroBytes(word^(ones*'"')) | zeroBytes(word^(ones*'\\')); found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(b) && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

const ones = 0x0101010101010101 // multiplied by a byte: a word with that byte eight times

// zeroBytes returns a word whose lowest set bit is in the lowest zero byte of x. It returns 0
// if x has no zero byte.
func zeroBytes(x uint64) uint64 { return (x - ones) &^ x & (ones << 7) }

// parseBare parses a value without quotes. It returns nil for null.
func parseBare(b []byte, i int) (text []byte, end int, err error) {
	end = i
scan:
	for end < len(b) {
		switch b[end] {
		case ',', '}', ' ', '\t', '\r', '\n':
			break scan
		case '{', '[', '"':
			return nil, 0, &HeaderError{end, "not a plain value"}
		}
		end++
	}
	if end == i {
		return nil, 0, &HeaderError{i, "no value"}
	}
	if text = b[i:end:end]; string(text) == "null" {
		return nil, end, nil
	}
	return text, end, nil
}

func skipBlanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// byteAt returns b[i], or 0 at the end of b. The syntax has no zero byte.
func byteAt(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}

// headerEnd returns the length of the header at the start of b, or -1 if the header does not
// end in b. The header ends at the first closing brace outside quotes.
func headerEnd(b []byte) int {
	inText := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case c == '}' && !inText:
			return i + 1
		}
	}
	return -1
}
