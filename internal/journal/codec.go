package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/crc"
)

// Lengths of the fixed parts, see doc.go.
const (
	timeLen   = 8
	headerLen = 32
	checkLen  = len(bookmark.Check{})
)

// What a record's flag byte announces.
const (
	flagDelta = 1 << iota
	flagReason
	flagUser
	flagCorrelation
	flagKey
	flagExpiration
	flagCRC
	flagCheck
)

// ErrTooLarge reports a record that is longer than the journal takes, or a
// field of it that its length can't be written of.
var ErrTooLarge = errors.New("record too large")

// errRecord reports bytes that are not a record.
var errRecord = errors.New("not a record")

// encodedLen returns the length of r as it goes over a link, or ErrTooLarge.
func encodedLen(r *Record) (int, error) {
	if len(r.Topic) > math.MaxUint16 || uint64(len(r.Body)) > math.MaxUint32 {
		return 0, ErrTooLarge
	}
	n := headerLen + len(r.Topic) + len(body(r))
	for _, f := range [...][]byte{r.Reason, r.User, r.CorrelationID, r.SOWKey} {
		if len(f) > math.MaxUint16 {
			return 0, ErrTooLarge
		}
		if len(f) > 0 {
			n += 2 + len(f)
		}
	}
	if r.Expiration != 0 {
		n += 4
	}
	if r.RunningCRC != 0 {
		n += 4
	}
	if r.Check != (bookmark.Check{}) {
		n += checkLen
	}
	return n, nil
}

func flags(r *Record) (f byte) {
	set := func(on bool, flag byte) {
		if on {
			f |= flag
		}
	}
	set(r.Delta, flagDelta)
	set(len(r.Reason) > 0, flagReason)
	set(len(r.User) > 0, flagUser)
	set(len(r.CorrelationID) > 0, flagCorrelation)
	set(len(r.SOWKey) > 0, flagKey)
	set(r.Expiration != 0, flagExpiration)
	set(r.RunningCRC != 0, flagCRC)
	set(r.Check != bookmark.Check{}, flagCheck)
	return f
}

// appendHeader appends what stands before the topic.
func appendHeader(dst []byte, r *Record) []byte {
	dst = append(dst, byte(r.Kind), flags(r))
	dst = binary.LittleEndian.AppendUint64(dst, r.Publisher)
	dst = binary.LittleEndian.AppendUint64(dst, r.Sequence)
	dst = binary.LittleEndian.AppendUint64(dst, r.Prev)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(r.Topic)))
	return binary.LittleEndian.AppendUint32(dst, uint32(len(body(r))))
}

// appendTail appends what stands behind the body.
func appendTail(dst []byte, r *Record) []byte {
	for _, f := range [...][]byte{r.Reason, r.User, r.CorrelationID, r.SOWKey} {
		if len(f) > 0 {
			dst = binary.LittleEndian.AppendUint16(dst, uint16(len(f)))
			dst = append(dst, f...)
		}
	}
	if r.Expiration != 0 {
		dst = binary.LittleEndian.AppendUint32(dst, r.Expiration)
	}
	if r.RunningCRC != 0 {
		dst = binary.LittleEndian.AppendUint32(dst, r.RunningCRC)
	}
	if r.Check != (bookmark.Check{}) {
		dst = append(dst, r.Check[:]...)
	}
	return dst
}

// appendRecord appends r as it goes over a link. Its lengths must have been
// checked by encodedLen.
func appendRecord(dst []byte, r *Record) []byte {
	dst = appendHeader(dst, r)
	dst = append(dst, r.Topic...)
	dst = append(dst, body(r)...)
	return appendTail(dst, r)
}

// Encode appends r to dst as it goes over a link (Record.Raw): for a marker
// that a link makes itself.
func Encode(dst []byte, r *Record) ([]byte, error) {
	if _, err := encodedLen(r); err != nil {
		return dst, fmt.Errorf("journal: encode %v %d|%d: %w", r.Kind, r.Publisher, r.Sequence, err)
	}
	return appendRecord(dst, r), nil
}

// Introduce adds the check of its publisher to a record that was read without
// one, for a peer that has not heard of the publisher. Its Raw is made in dst.
func Introduce(dst []byte, r *Record, check bookmark.Check) []byte {
	dst = append(append(dst, r.Raw...), check[:]...)
	dst[1] |= flagCheck
	r.Check, r.Raw = check, dst
	return dst
}

// unintroduced returns the CRC of a raw record without the check, which one
// instance may have with a record and another with the one before it.
func unintroduced(raw []byte) uint32 {
	flags, rest := raw[1], raw[2:]
	if flags&flagCheck != 0 {
		flags, rest = flags&^flagCheck, rest[:len(rest)-checkLen]
	}
	return crc.Bytes(crc.Number8(crc.Number8(0, raw[0]), flags), rest)
}

// Decode reads a raw record into r, whose slices share raw's memory. Position,
// Next and Time become 0.
func Decode(raw []byte, r *Record) error {
	if err := decode(raw, r); err != nil {
		return fmt.Errorf("journal: decode record: %w", err)
	}
	return nil
}

// causes are the bodies of gone records.
var causes = [...][]byte{Removed: {}, LetGo: {byte(LetGo)}, Lost: {byte(Lost)}, Closed: {byte(Closed)}, Closed + 1: {byte(Closed) + 1}}

// body returns what stands in the place of the body: of a gone record its cause.
func body(r *Record) []byte {
	if r.Kind == Gone {
		return causes[min(r.Cause, Closed+1)]
	}
	return r.Body
}

// takeCause takes the cause of a gone record from its body.
func takeCause(r *Record) bool {
	if r.Kind != Gone || len(r.Body) == 0 {
		return true
	}
	r.Cause = Cause(r.Body[0])
	ok := len(r.Body) == 1 && r.Cause != Removed && r.Cause <= Closed
	r.Body = nil
	return ok
}

// single reports whether a record of the kind stands for one number only.
func single(k Kind) bool { return k == Message || k == Empty }

func decode(raw []byte, r *Record) error {
	if len(raw) < headerLen {
		return fmt.Errorf("%w: %d bytes", errRecord, len(raw))
	}
	*r = Record{
		Kind:      Kind(raw[0]),
		Publisher: binary.LittleEndian.Uint64(raw[2:]),
		Sequence:  binary.LittleEndian.Uint64(raw[10:]),
		Prev:      binary.LittleEndian.Uint64(raw[18:]),
		Raw:       raw,
	}
	switch {
	case !r.Kind.Known():
		return fmt.Errorf("%w: unknown %v", errRecord, r.Kind)
	case !bookmark.InRange(r.Sequence):
		return fmt.Errorf("%w: sequence %d is above 2^63-1", errRecord, r.Sequence)
	case r.Prev >= r.Sequence || single(r.Kind) && r.Prev != r.Sequence-1:
		return fmt.Errorf("%w: %v %d behind %d", errRecord, r.Kind, r.Sequence, r.Prev)
	}
	topic := binary.LittleEndian.Uint16(raw[26:])
	body := binary.LittleEndian.Uint32(raw[28:])
	f := fields{rest: raw[headerLen:]}
	r.Topic = f.take(uint64(topic))
	r.Body = f.take(uint64(body))
	if flags := raw[1]; flags != 0 { // most messages have nothing there
		f.optional(flags, r)
	}
	if f.bad = !takeCause(r) || f.bad; f.bad || len(f.rest) > 0 {
		return fmt.Errorf("%w: lengths don't match its %d bytes", errRecord, len(raw))
	}
	return nil
}

// optional reads what stands behind the body.
func (f *fields) optional(flags byte, r *Record) {
	r.Delta = flags&flagDelta != 0
	for _, o := range [...]struct {
		flag byte
		to   *[]byte
	}{{flagReason, &r.Reason}, {flagUser, &r.User}, {flagCorrelation, &r.CorrelationID}, {flagKey, &r.SOWKey}} {
		if flags&o.flag != 0 {
			n := f.uint16()
			*o.to = f.take(uint64(n))
			f.bad = f.bad || n == 0
		}
	}
	if flags&flagExpiration != 0 {
		r.Expiration = f.uint32()
		f.bad = f.bad || r.Expiration == 0
	}
	if flags&flagCRC != 0 {
		r.RunningCRC = f.uint32()
		f.bad = f.bad || r.RunningCRC == 0
	}
	if flags&flagCheck != 0 {
		r.Check = f.check()
		f.bad = f.bad || r.Check == bookmark.Check{}
	}
}

// decodePayload is decode for a log record's payload: time and raw record.
func decodePayload(payload []byte, r *Record) error {
	if len(payload) < timeLen {
		return fmt.Errorf("%w: %d bytes", errRecord, len(payload))
	}
	if err := decode(payload[timeLen:], r); err != nil {
		return err
	}
	r.Time = int64(binary.LittleEndian.Uint64(payload))
	return nil
}

// fields reads fields from bytes that nobody vouches for. Once a field was
// not there bad is set and all further ones are empty.
type fields struct {
	rest []byte
	bad  bool
}

// take returns the next n bytes, sharing memory with what is read.
func (f *fields) take(n uint64) []byte {
	if f.bad || n > uint64(len(f.rest)) {
		f.bad, f.rest = true, nil
		return nil
	}
	b := f.rest[:n:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) byte() byte {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) uint16() uint16 {
	if b := f.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (f *fields) uint32() uint32 {
	if b := f.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (f *fields) uint64() uint64 {
	if b := f.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (f *fields) check() (c bookmark.Check) {
	copy(c[:], f.take(uint64(len(c))))
	return c
}

func (f *fields) uvarint() uint64 {
	v, n := binary.Uvarint(f.rest)
	if f.bad || n <= 0 {
		f.bad, f.rest = true, nil
		return 0
	}
	f.rest = f.rest[n:]
	return v
}

// count reads how many entries follow, of which each has at least size bytes:
// no more than can be there.
func (f *fields) count(size int) int {
	n := f.uvarint()
	if n > uint64(len(f.rest)/size) {
		f.bad, f.rest = true, nil
		return 0
	}
	return int(n)
}

// Sums of records that say nothing, see sumOf; 0 is none.
const (
	tombstoneSum = 1
	emptySum     = 2
	leastContent = 3
)

// sumOf is the sum over kind and content of what stands for a number. Two
// records of one identity with different ones are a copied store (R11). It is 0
// of markers, which stand for anything.
func sumOf(r *Record) uint32 {
	switch r.Kind {
	case Message:
		return contentCRC(r)
	case Tombstone:
		return tombstoneSum
	case Empty:
		return emptySum
	}
	return 0
}

// contentCRC is the CRC of what a message says, at least leastContent.
func contentCRC(r *Record) uint32 {
	delta := uint8(0)
	if r.Delta {
		delta = 1
	}
	sum := crc.Number32(crc.Number8(0, delta), r.Expiration)
	for _, f := range [...][]byte{r.Topic, r.Body, r.CorrelationID, r.SOWKey} {
		sum = crc.Number32(sum, uint32(len(f)))
		if len(f) > 0 {
			sum = crc.Bytes(sum, f)
		}
	}
	return max(sum, leastContent)
}

// chainCRC returns the running CRC of a publisher after one more message.
func chainCRC(running uint32, sequence uint64, content uint32) uint32 {
	return crc.Number32(crc.Number64(running, sequence), content)
}
