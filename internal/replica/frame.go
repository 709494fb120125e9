package replica

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/crc"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/record"
)

// A frameType is the first value of a payload.
type frameType uint8

const (
	frameHello frameType = iota + 1
	frameStates
	frameRecords
	frameAck
	frameNotice
	frameAnswer
	frameHeartbeat
	frameRefuse
	frameOpen
	frameProof
	frameDiverged
	frameDecree
	frameClosing
)

const (
	frameHeader    = 8                         // length and CRC
	batchBytes     = 1 << 20                   // longest payload of records, unless one record alone is longer
	openLimit      = 256                       // payload before the peer has proven that it knows the secret
	helloLimit     = 64 << 10                  // payload of a hello
	statesLimit    = 1<<20 + 256<<10           // payload of states
	frameLimit     = journal.MaxRecord + 2<<20 // payload after the handshake: the longest record, the batch before it, its metadata
	readStep       = 16 << 10                  // most bytes that are allocated before they have arrived
	pairBytes      = 2                         // minimum bytes of a publisher with its sequence
	checkBytes     = 2 + len(bookmark.Check{}) // minimum bytes of a publisher's check
	maxText        = math.MaxUint16            // bytes of a name, a reason and other texts
	maxPatterns    = 4096                      // topics of a link
	maxStates      = 4 << 20                   // publishers in all states of a hello
	statesBatch    = batchBytes / 64           // publishers in one frame of states
	ownersBatch    = 64 << 10                  // bytes of the owners in one frame of states
	maxOwners      = 64 << 20                  // bytes of the owners in all states of a hello, each counted once
	acksBatch      = statesBatch               // publishers in one ack
	heartbeatBatch = 1024                      // publishers in one heartbeat
	maxControl     = 4096                      // frames queued for a peer that does not read
)

var (
	errFrameTooLong = errors.New("frame is longer than the limit")
	errFrameCRC     = errors.New("frame is damaged: checksum differs")
	errFrame        = errors.New("frame is malformed")
)

// A codec writes or reads the fields of a frame. An encoder writes the values. A decoder replaces
// them. So one function describes both directions of a frame.
type codec interface {
	uint(v *uint64)
	uintUpTo(v *uint64, limit uint64) // a number up to limit
	sequence(v *uint64)               // a number that is not an id: at most 2^63-1 (R1)
	uint32(v *uint32)
	micros(v *time.Duration, limit time.Duration) // a duration; a reader cuts a longer one to limit
	time(v *time.Time)                            // the zero time and times before 1970 are written as 0
	bool(v *bool)
	string(v *string)
	stringUpTo(v *string, limit int) // a text of at most limit bytes
	bytes(v *[]byte)
	fixed(v []byte, optional bool) // exactly len(v) bytes; optional: zeros are written as no bytes
	// array begins an array of n items and returns their number. A negative n stands for nil. A
	// reader requires minBytes bytes for each item, and at most maxItems items together with the
	// n existing ones.
	array(n, minBytes, maxItems int) (items int, reads bool)
}

// A frameBody is the part of a frame after its type.
type frameBody interface{ fields(codec) }

// list codes an array of at most maxItems items with at least minBytes bytes each. A decoder
// appends to items.
func list[T any](c codec, items *[]T, minBytes, maxItems int, each func(*T)) {
	n, reads := c.array(len(*items), minBytes, maxItems)
	if n = max(n, 0); reads {
		*items = append(*items, make([]T, n)...)
	}
	for i := len(*items) - n; i < len(*items); i++ {
		each(&(*items)[i])
	}
}

// An encoder builds frames one after the other, and appends each kept frame to those before it.
type encoder struct {
	buf  bytes.Buffer
	kept int // bytes of the kept frames
	enc  *msgpack.Encoder
}

func newEncoder() *encoder {
	e := new(encoder)
	e.enc = msgpack.NewEncoder(&e.buf)
	return e
}

// appendTo makes b the buffer to which kept frames are appended from here on.
func (e *encoder) appendTo(b []byte) {
	e.buf, e.kept = *bytes.NewBuffer(b), len(b)
}

// begin starts a frame. It drops the frame before it unless that was kept.
func (e *encoder) begin(t frameType) {
	var head [frameHeader]byte
	e.buf.Truncate(e.kept)
	e.buf.Write(head[:])
	_ = e.enc.EncodeUint(uint64(t))
}

// frame starts a frame with this body.
func (e *encoder) frame(t frameType, b frameBody) {
	e.begin(t)
	b.fields(e)
}

// newFrame returns a complete frame.
func newFrame(t frameType, b frameBody) []byte {
	e := newEncoder()
	e.frame(t, b)
	return e.finish()
}

// Writing to a bytes.Buffer never fails, so the encoder drops these errors.

func (e *encoder) uint(v *uint64)               { _ = e.enc.EncodeUint(*v) }
func (e *encoder) uintUpTo(v *uint64, _ uint64) { e.uint(v) }
func (e *encoder) sequence(v *uint64)           { e.uint(v) }
func (e *encoder) uint32(v *uint32)             { _ = e.enc.EncodeUint(uint64(*v)) }
func (e *encoder) micros(v *time.Duration, _ time.Duration) {
	_ = e.enc.EncodeUint(uint64(max(0, v.Microseconds())))
}
func (e *encoder) time(v *time.Time) { _ = e.enc.EncodeUint(uint64(max(0, v.UnixMicro()))) }
func (e *encoder) bool(v *bool)      { _ = e.enc.EncodeBool(*v) }
func (e *encoder) string(v *string)  { e.stringUpTo(v, maxText) }
func (e *encoder) bytes(v *[]byte)   { _ = e.enc.EncodeBytes(*v) }

func (e *encoder) stringUpTo(v *string, limit int) {
	_ = e.enc.EncodeString((*v)[:min(len(*v), limit)])
}

func (e *encoder) fixed(v []byte, optional bool) {
	if optional && !slices.ContainsFunc(v, func(b byte) bool { return b != 0 }) {
		v = v[:0]
	}
	_ = e.enc.EncodeBytes(v)
}

func (e *encoder) array(n, _, _ int) (items int, reads bool) {
	if n < 0 {
		_ = e.enc.EncodeNil()
	} else {
		_ = e.enc.EncodeArrayLen(n)
	}
	return n, false
}

// record appends a record to a records frame.
func (e *encoder) record(raw []byte) {
	e.buf.Grow(record.LengthLen + len(raw))
	e.buf.Write(record.AppendFramed(e.buf.AvailableBuffer(), raw))
}

// payload returns the length of the frame's payload so far.
func (e *encoder) payload() int { return e.buf.Len() - e.kept - frameHeader }

// finish fills in the header and returns the frame, which is valid until begin.
func (e *encoder) finish() []byte {
	b := e.buf.Bytes()[e.kept:]
	binary.BigEndian.PutUint32(b, uint32(len(b)-frameHeader))
	binary.BigEndian.PutUint32(b[4:], crc.Bytes(0, b[frameHeader:]))
	return b
}

// keep finishes the current frame and keeps it.
func (e *encoder) keep() { e.kept += len(e.finish()) }

// add keeps a frame that another encoder has finished.
func (e *encoder) add(frame []byte) {
	e.buf.Truncate(e.kept)
	e.buf.Write(frame)
	e.kept += len(frame)
}

// all returns the buffer of appendTo with the frames kept since then.
func (e *encoder) all() []byte { return e.buf.Bytes()[:e.kept] }

// A frameReader reads frames. It allocates at most one step before the bytes have arrived.
type frameReader struct {
	r     io.Reader
	limit int
	head  [frameHeader]byte
	rest  io.LimitedReader // unread part of a payload
	buf   bytes.Buffer     // the payload; it grows only as bytes arrive
}

// next returns the payload of the next frame, valid until the next call.
func (f *frameReader) next() ([]byte, error) {
	if _, err := io.ReadFull(f.r, f.head[:]); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(f.head[:]))
	if n == 0 || n > int64(f.limit) {
		return nil, fmt.Errorf("%w: %d bytes, limit %d", errFrameTooLong, n, f.limit)
	}
	if f.buf.Cap() > 4*batchBytes && n <= batchBytes {
		f.buf = bytes.Buffer{} // do not keep the memory of one very long message
	}
	f.buf.Reset()
	f.rest = io.LimitedReader{R: f.r, N: n}
	if _, err := f.buf.ReadFrom(&f.rest); err != nil {
		return nil, err
	}
	if f.rest.N > 0 {
		return nil, io.ErrUnexpectedEOF
	}
	if crc.Bytes(0, f.buf.Bytes()) != binary.BigEndian.Uint32(f.head[4:]) {
		return nil, errFrameCRC
	}
	return f.buf.Bytes(), nil
}

// A decoder reads the fields of one payload after the other. It keeps the first error of a payload
// and then reads only zero values. The caller checks err once, at the end.
type decoder struct {
	data []byte
	r    bytes.Reader
	dec  *msgpack.Decoder
	err  error
}

func newDecoder() *decoder {
	d := new(decoder)
	d.dec = msgpack.NewDecoder(&d.r)
	return d
}

// begin starts a payload and returns its frame type, 0 if the type is out of range.
func (d *decoder) begin(payload []byte) frameType {
	d.data, d.err = payload, nil
	d.r.Reset(payload)
	d.dec.Reset(&d.r)
	t := read(d, (*msgpack.Decoder).DecodeUint64)
	if t > math.MaxUint8 {
		t = 0
	}
	return frameType(t)
}

func (d *decoder) setError(err error) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %w", errFrame, err)
	}
}

// left returns the number of unread bytes. rest returns these bytes.
func (d *decoder) left() int { return d.r.Len() }

func (d *decoder) rest() []byte { return d.data[len(d.data)-d.left():] }

// body reads the body of a frame.
func (d *decoder) body(b frameBody) error {
	b.fields(d)
	return d.err
}

// read reads one value. It returns the zero value after an error.
func read[T any](d *decoder, decode func(*msgpack.Decoder) (T, error)) (v T) {
	if d.err != nil {
		return v
	}
	v, err := decode(d.dec)
	if err != nil {
		d.setError(err)
		return *new(T)
	}
	return v
}

func (d *decoder) uint(v *uint64) { *v = read(d, (*msgpack.Decoder).DecodeUint64) }
func (d *decoder) bool(v *bool)   { *v = read(d, (*msgpack.Decoder).DecodeBool) }

func (d *decoder) uintUpTo(v *uint64, limit uint64) {
	if d.uint(v); *v > limit {
		d.setError(fmt.Errorf("number %d is above the maximum %d", *v, limit))
		*v = 0
	}
}

func (d *decoder) sequence(v *uint64) {
	if d.uint(v); !bookmark.InRange(*v) {
		d.setError(fmt.Errorf("number %d is above 2^63-1", *v))
		*v = 0
	}
}

func (d *decoder) uint32(v *uint32) {
	var n uint64
	d.uintUpTo(&n, math.MaxUint32)
	*v = uint32(n)
}

func (d *decoder) micros(v *time.Duration, limit time.Duration) {
	var n uint64
	d.sequence(&n)
	*v = time.Duration(min(n, uint64(limit.Microseconds()))) * time.Microsecond
}

func (d *decoder) time(v *time.Time) {
	var n uint64
	if d.sequence(&n); n > 0 {
		*v = time.UnixMicro(int64(n))
	}
}

// bytes returns a slice of the payload, not a copy.
func (d *decoder) bytes(v *[]byte) {
	n := read(d, (*msgpack.Decoder).DecodeBytesLen)
	if d.err == nil && (n < 0 || n > d.left()) {
		d.setError(fmt.Errorf("%d bytes announced, but %d left", n, d.left()))
	}
	if *v = nil; d.err == nil {
		from := len(d.data) - d.left()
		_, _ = d.r.Seek(int64(n), io.SeekCurrent) // in bounds, cannot fail
		*v = d.data[from : from+n : from+n]
	}
}

func (d *decoder) fixed(v []byte, optional bool) {
	var b []byte
	d.bytes(&b)
	if len(b) != len(v) && !(optional && len(b) == 0) {
		d.setError(fmt.Errorf("field has %d bytes instead of %d", len(b), len(v)))
		return
	}
	copy(v, b)
}

func (d *decoder) string(v *string) { d.stringUpTo(v, maxText) }

func (d *decoder) stringUpTo(v *string, limit int) {
	var b []byte
	if d.bytes(&b); len(b) > limit {
		d.setError(fmt.Errorf("text of %d bytes is above the maximum %d", len(b), limit))
		b = nil
	}
	*v = string(b)
}

func (d *decoder) array(have, minBytes, maxItems int) (items int, reads bool) {
	n := read(d, (*msgpack.Decoder).DecodeArrayLen)
	switch {
	case n > d.left()/minBytes:
		d.setError(fmt.Errorf("array of %d items announced, but %d bytes left", n, d.left()))
		n = 0
	case n > maxItems-max(0, have):
		d.setError(fmt.Errorf("array of more than %d items", maxItems))
		n = 0
	}
	return n, true
}
