package replica

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

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
	frameHeader = 8                         // length and CRC
	batchBytes  = 1 << 20                   // of a frame of records, unless one record is longer
	openLimit   = 256                       // payload of a peer that has proven nothing
	helloLimit  = 64 << 10                  // payload of a hello
	statesLimit = 1<<20 + 64<<10            // payload of states
	frameLimit  = journal.MaxRecord + 2<<20 // payload of a peer that has said hello: the longest record, the batch before it, its metadata
	readStep    = 16 << 10                  // most that is allocated ahead of what has arrived
	pairBytes   = 2                         // least bytes of a publisher and its sequence
	checkBytes  = 2 + len(bookmark.Check{}) // of a publisher's check
	maxText     = math.MaxUint16            // bytes of a name, a reason and the like
	maxPatterns = 4096                      // of a link
	maxStates   = 4 << 20                   // publishers of a hello
	statesBatch = batchBytes / 64           // publishers in one frame of states
	acksBatch   = statesBatch               // publishers in one ack
	beatBatch   = 1024                      // publishers in one heartbeat
	maxControl  = 4096                      // frames queued for a peer that doesn't take them
)

var (
	errFrameTooLong = errors.New("frame is longer than the limit")
	errFrameCRC     = errors.New("frame is damaged: checksum differs")
	errFrame        = errors.New("frame is malformed")
)

// An encoder builds one frame after the other, behind those that it keeps.
type encoder struct {
	buf  bytes.Buffer
	kept int // bytes of frames that are kept
	enc  *msgpack.Encoder
}

func newEncoder() *encoder {
	e := new(encoder)
	e.enc = msgpack.NewEncoder(&e.buf)
	return e
}

// appendTo has the frames that are kept from here on appended to b.
func (e *encoder) appendTo(b []byte) {
	e.buf, e.kept = *bytes.NewBuffer(b), len(b)
}

// begin starts a frame, dropping the one before it if that was not kept.
func (e *encoder) begin(t frameType) {
	var head [frameHeader]byte
	e.buf.Truncate(e.kept)
	e.buf.Write(head[:])
	e.uint(uint64(t))
}

// Writing to a bytes.Buffer doesn't fail, hence no errors here.

func (e *encoder) uint(v uint64)   { _ = e.enc.EncodeUint(v) }
func (e *encoder) bool(v bool)     { _ = e.enc.EncodeBool(v) }
func (e *encoder) bytes(v []byte)  { _ = e.enc.EncodeBytes(v) }
func (e *encoder) array(n int)     { _ = e.enc.EncodeArrayLen(n) }
func (e *encoder) nil()            { _ = e.enc.EncodeNil() }
func (e *encoder) string(v string) { _ = e.enc.EncodeString(v[:min(len(v), maxText)]) }

// record appends a record of a frame that has nothing else behind its type.
func (e *encoder) record(raw []byte) {
	e.buf.Grow(record.LengthLen + len(raw))
	e.buf.Write(record.AppendFramed(e.buf.AvailableBuffer(), raw))
}

// payload returns how many bytes the frame has so far.
func (e *encoder) payload() int { return e.buf.Len() - e.kept - frameHeader }

// finish fills the header in and returns the frame, valid until begin.
func (e *encoder) finish() []byte {
	b := e.buf.Bytes()[e.kept:]
	binary.BigEndian.PutUint32(b, uint32(len(b)-frameHeader))
	binary.BigEndian.PutUint32(b[4:], crc.Bytes(0, b[frameHeader:]))
	return b
}

// keep finishes the frame and keeps it.
func (e *encoder) keep() { e.kept += len(e.finish()) }

// add keeps a frame that another encoder has finished.
func (e *encoder) add(frame []byte) {
	e.buf.Truncate(e.kept)
	e.buf.Write(frame)
	e.kept += len(frame)
}

// all returns what appendTo was given, and the frames kept since.
func (e *encoder) all() []byte { return e.buf.Bytes()[:e.kept] }

// A frameReader reads frames. It allocates no more than has arrived and a step ahead.
type frameReader struct {
	r     io.Reader
	limit int
	head  [frameHeader]byte
	buf   []byte
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
	if err := f.fill(int(n)); err != nil {
		return nil, err
	}
	if crc.Bytes(0, f.buf) != binary.BigEndian.Uint32(f.head[4:]) {
		return nil, errFrameCRC
	}
	return f.buf, nil
}

// fill reads n bytes into buf, which grows only as they arrive.
func (f *frameReader) fill(n int) error {
	if cap(f.buf) > 4*batchBytes && n <= batchBytes {
		f.buf = nil // one very long message doesn't keep its memory for ever
	}
	f.buf = f.buf[:0]
	for len(f.buf) < n {
		room := min(n, max(cap(f.buf), 2*len(f.buf), readStep))
		if room > cap(f.buf) {
			grown := make([]byte, len(f.buf), room)
			copy(grown, f.buf)
			f.buf = grown
		}
		from := len(f.buf)
		f.buf = f.buf[:room]
		if _, err := io.ReadFull(f.r, f.buf[from:]); err != nil {
			return unexpected(err)
		}
	}
	return nil
}

// unexpected says that a frame's end is missing.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// A decoder reads the fields of one payload after the other. The first error
// of a payload stays, and everything read after it is zero; the caller looks at
// err once, at the end.
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

// begin starts a payload and returns its type.
func (d *decoder) begin(payload []byte) frameType {
	d.data, d.err = payload, nil
	d.r.Reset(payload)
	d.dec.Reset(&d.r)
	t := d.uint()
	if t > math.MaxUint8 {
		t = 0
	}
	return frameType(t)
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %w", errFrame, err)
	}
}

// left returns how many bytes have not been read, rest returns them.
func (d *decoder) left() int { return d.r.Len() }

func (d *decoder) rest() []byte { return d.data[len(d.data)-d.left():] }

func (d *decoder) uint() uint64 {
	if d.err != nil {
		return 0
	}
	v, err := d.dec.DecodeUint64()
	if err != nil {
		d.fail(err)
		return 0
	}
	return v
}

// sequence reads a number that is not an id: at most 2^63-1 (R1).
func (d *decoder) sequence() uint64 {
	v := d.uint()
	if !bookmark.InRange(v) {
		d.fail(fmt.Errorf("number %d is above 2^63-1", v))
		return 0
	}
	return v
}

func (d *decoder) uint32() uint32 {
	v := d.uint()
	if v > math.MaxUint32 {
		d.fail(errors.New("number does not fit in 32 bits"))
		return 0
	}
	return uint32(v)
}

func (d *decoder) bool() bool {
	if d.err != nil {
		return false
	}
	v, err := d.dec.DecodeBool()
	if err != nil {
		d.fail(err)
	}
	return v
}

// bytes returns a part of the payload itself.
func (d *decoder) bytes() []byte {
	if d.err != nil {
		return nil
	}
	n, err := d.dec.DecodeBytesLen()
	if err != nil {
		d.fail(err)
		return nil
	}
	if n < 0 || n > d.left() {
		d.fail(fmt.Errorf("%d bytes announced, %d there", n, d.left()))
		return nil
	}
	from := len(d.data) - d.left()
	_, _ = d.r.Seek(int64(n), io.SeekCurrent) // in bounds, cannot fail
	return d.data[from : from+n : from+n]
}

func (d *decoder) check() (c bookmark.Check) {
	b := d.bytes()
	if d.err == nil && len(b) != len(c) {
		d.fail(fmt.Errorf("check of %d bytes", len(b)))
	}
	copy(c[:], b)
	return c
}

func (d *decoder) string() string {
	b := d.bytes()
	if len(b) > maxText {
		d.fail(fmt.Errorf("text of %d bytes", len(b)))
		return ""
	}
	return string(b)
}

// publishers returns the length of an array of publishers, as array does: no
// longer than what a hello may state.
func (d *decoder) publishers(least int) int {
	n := max(0, d.array(least))
	if n > maxStates {
		d.fail(fmt.Errorf("more than %d publishers", maxStates))
		return 0
	}
	return n
}

// array returns the length of an array whose elements take at least least
// bytes each; -1 is nil.
func (d *decoder) array(least int) int {
	if d.err != nil {
		return 0
	}
	n, err := d.dec.DecodeArrayLen()
	if err != nil {
		d.fail(err)
		return 0
	}
	if n > d.left()/least {
		d.fail(fmt.Errorf("array of %d announced, %d bytes there", n, d.left()))
		return 0
	}
	return n
}
