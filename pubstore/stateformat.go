package pubstore

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/holdfast-mq/holdfast/internal/fileversion"
)

// stateVersion is the version of the encoded state: a storeState without slots, in msgpack:
//
//	[version, name, counter, boot, closed, lives, cluster, incarnation]
//	a life: [id, plainOffset, acked, last, rejected, clock, sent, plainOffsetAfter]
//	rejected: [from, to, from, to, …]
//
// A later version may append fields.
const stateVersion = 1

const stateFields, lifeFields = 8, 8

// maxLives bounds the number of lives that are read. Each Renew adds a life while no message
// becomes safe.
const maxLives = 1 << 16

var errState = errors.New("state of the store is malformed")

// encode encodes the state. It cannot fail, since it writes to memory.
func (s *storeState) encode() []byte {
	lives := make([]any, len(s.lives))
	for i, l := range s.lives {
		rejected := make([]uint64, 0, 2*len(l.rejected))
		for _, r := range l.rejected {
			rejected = append(rejected, r.From, r.To)
		}
		lives[i] = []any{l.id, l.plainOffset, l.acked, l.last, rejected, l.clock, l.sent, l.plainOffsetAfter}
	}
	var buf bytes.Buffer
	encoder := msgpack.NewEncoder(&buf)
	encoder.UseCompactInts(true)
	err := encoder.Encode([]any{uint64(stateVersion), s.name, s.counter, s.boot, s.closed, lives, s.group.cluster, s.group.incarnation})
	if err != nil {
		panic("BUG: encoding to memory: " + err.Error())
	}
	return buf.Bytes()
}

// decode replaces the state by an encoded one. The slots are empty afterwards: see recover.go.
func (s *storeState) decode(p []byte) error {
	d := newStateDecoder(p)
	if err := d.checkVersion(); err != nil {
		return err
	}
	name, counter, boot, closed := d.text(), d.uint(), d.text(), d.bool()
	n := d.array()
	if d.err != nil || n > maxLives {
		return d.malformed("lives")
	}
	var lives []*lifeState
	for range n {
		l := d.life()
		if d.err != nil {
			return d.malformed("a life")
		}
		lives = append(lives, l)
	}
	group := serverGroup{d.text(), d.uint()}
	if d.err != nil {
		return d.malformed("the group")
	}
	s.name, s.counter, s.boot, s.closed, s.lives, s.group = name, counter, boot, closed, lives, group
	return nil
}

// A stateDecoder reads a state. Its first error stays. It refuses a length that the remaining
// bytes cannot hold.
type stateDecoder struct {
	r   *bytes.Reader
	dec *msgpack.Decoder
	err error
}

func newStateDecoder(p []byte) *stateDecoder {
	r := bytes.NewReader(p)
	return &stateDecoder{r: r, dec: msgpack.NewDecoder(r)}
}

func (d *stateDecoder) malformed(part string) error {
	if d.err != nil {
		return fmt.Errorf("%w: %s: %w", errState, part, d.err)
	}
	return fmt.Errorf("%w: %s", errState, part)
}

// checkVersion reads and checks the version. The error for a later version is a
// *fileversion.VersionError, not errState.
func (d *stateDecoder) checkVersion() error {
	fields, v := d.array(), d.uint()
	switch {
	case d.err == nil && v > stateVersion:
		return &fileversion.VersionError{Found: v, Known: stateVersion}
	case fields < stateFields || v != stateVersion:
		return d.malformed("version")
	}
	return nil
}

// checkHead returns an error if a segment head that begins with start does not belong to a publish
// store.
func checkHead(start []byte) error {
	state, ok := bytes.CutPrefix(start, []byte(headMagic))
	if !ok {
		return ErrNotStore
	}
	return newStateDecoder(state).checkVersion()
}

func (d *stateDecoder) life() *lifeState {
	if d.array() < lifeFields {
		d.err = errState
		return nil
	}
	l := newLifeState(d.text())
	l.plainOffset, l.acked, l.last = d.uint(), d.uint(), d.uint()
	low := l.acked
	for range d.array() / 2 {
		s := Range{d.uint(), d.uint()}
		if d.err == nil && (s.From <= low || s.To < s.From || s.To > l.last) {
			d.err = errState
		}
		if d.err != nil {
			return nil
		}
		l.rejected = append(l.rejected, s)
		low = s.To
	}
	l.clock, l.sent, l.plainOffsetAfter = d.uint(), d.uint(), d.uint()
	if d.err == nil && l.acked > l.last {
		d.err = errState
	}
	return l
}

func (d *stateDecoder) array() int { return d.length(d.dec.DecodeArrayLen) }

// length reads a number of elements. Each of them takes at least one byte.
func (d *stateDecoder) length(read func() (int, error)) (n int) {
	if d.err == nil {
		n, d.err = read()
	}
	if d.err == nil && (n < 0 || n > d.r.Len()) {
		d.err = errState
	}
	if d.err != nil {
		return 0
	}
	return n
}

// uint reads an unsigned number. It refuses a signed one: msgpack would return a negative number as
// a large one, and a negative version would pass for a later version.
func (d *stateDecoder) uint() (n uint64) {
	var code byte
	if d.err == nil {
		code, d.err = d.dec.PeekCode()
	}
	switch {
	case d.err != nil:
	case code >= msgpcode.NegFixedNumLow, code >= msgpcode.Int8 && code <= msgpcode.Int64:
		d.err = errors.New("number is signed")
	default:
		n, d.err = d.dec.DecodeUint64()
	}
	return n
}

func (d *stateDecoder) bool() (b bool) {
	if d.err == nil {
		b, d.err = d.dec.DecodeBool()
	}
	return b
}

func (d *stateDecoder) text() string {
	b := make([]byte, d.length(d.dec.DecodeBytesLen))
	if d.err == nil {
		d.err = d.dec.ReadFull(b)
	}
	return string(b)
}
