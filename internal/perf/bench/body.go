package bench

import "time"

// A body is a JSON object of a chosen size that identifies its message by
// publisher, number and due time. The digits are hexadecimal and have fixed
// offsets, so that neither writing nor parsing a body allocates.
type body []byte

const (
	bodyTemplate = `{"p":"0000","n":"0000000000","t":"0000000000000000","x":"`
	bodyEnd      = `"}`
	minSize      = len(bodyTemplate) + len(bodyEnd)

	publisherOffset, numberOffset, dueOffset = 6, 17, 34
	publisherDigits, numberDigits, dueDigits = 4, 10, 16
)

// newBody returns the body of a publisher's messages.
func newBody(publisher, size int) body {
	b := make(body, size)
	for i := copy(b, bodyTemplate); i < size-len(bodyEnd); i++ {
		b[i] = 'a' + byte(i%26)
	}
	copy(b[size-len(bodyEnd):], bodyEnd)
	putHex(b[publisherOffset:][:publisherDigits], uint64(publisher))
	return b
}

// set turns b into the body of the nth message.
func (b body) set(n uint64, due time.Duration) {
	putHex(b[numberOffset:][:numberDigits], n)
	putHex(b[dueOffset:][:dueDigits], uint64(due))
}

// A stamp is the content of a body.
type stamp struct {
	publisher int
	number    uint64
	due       time.Duration
}

// parse parses the body of a message. ok is false if it is not a body of this
// package with that size.
func parse(data []byte, size int) (s stamp, ok bool) {
	if len(data) != size {
		return s, false
	}
	p, ok1 := hex(data[publisherOffset:][:publisherDigits])
	n, ok2 := hex(data[numberOffset:][:numberDigits])
	due, ok3 := hex(data[dueOffset:][:dueDigits])
	return stamp{int(p), n, time.Duration(due)}, ok1 && ok2 && ok3
}

func putHex(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = "0123456789abcdef"[v&15]
		v >>= 4
	}
}

func hex(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			v = v<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
