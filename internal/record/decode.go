package record

import (
	"encoding/binary"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/crc"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// Parse reads the bytes of a record into r, whose slices share the memory of raw. Position,
// Next and Time become 0. Parse does not check the sum of the content, see SumMatches.
func Parse(raw []byte, r *Record) error {
	if len(raw) < minHeaderLen {
		return fmt.Errorf("%w: %d bytes", ErrMalformed, len(raw))
	}
	*r = Record{
		Kind:      Kind(raw[0]),
		Sum:       binary.LittleEndian.Uint32(raw[4:]),
		Publisher: binary.LittleEndian.Uint64(raw[8:]),
		Sequence:  binary.LittleEndian.Uint64(raw[16:]),
		Raw:       raw,
	}
	r.Prev = r.Sequence - 1
	length := HeaderLen(raw)
	if length < minHeaderLen || length > len(raw) {
		return fmt.Errorf("%w: a header of %d bytes in a record of %d", ErrMalformed, length, len(raw))
	}
	f := FieldReader{Rest: raw[minHeaderLen:length]}
	if flags := raw[1]; flags != 0 { // rare
		r.parseFields(&f, flags)
	}
	if f.Bad || len(f.Rest) > 0 {
		return fmt.Errorf("%w: the fields of the header do not match its flags", ErrMalformed)
	}
	if err := Validate(r); err != nil {
		return err
	}
	if !r.parseContent(raw[length:]) {
		return fmt.Errorf("%w: the lengths do not match its %d bytes", ErrMalformed, len(raw))
	}
	return nil
}

// parseFields reads the fields that the flags of the header announce.
func (r *Record) parseFields(f *FieldReader, flags byte) {
	if flags&hasPrev != 0 {
		r.Prev = f.Uint64()
		f.Bad = f.Bad || r.Prev == r.Sequence-1
	}
	if flags&hasCheck != 0 {
		copy(r.Check[:], f.Bytes(uint64(checkLen)))
		f.Bad = f.Bad || r.Check == bookmark.Check{}
	}
	if flags&hasCRC != 0 {
		r.RunningCRC = f.Uint32()
		f.Bad = f.Bad || r.RunningCRC == 0
	}
	if flags&hasCause != 0 {
		r.Cause = Cause(f.Byte())
		f.Bad = f.Bad || r.Cause == Removed
	}
	if flags&hasReason != 0 {
		r.Reason = f.text()
	}
	if flags&hasUser != 0 {
		r.User = f.text()
	}
	f.Bad = f.Bad || flags >= 2*hasUser
}

// parseContent reads the content. It returns false if the bytes are not a valid content.
func (r *Record) parseContent(content []byte) bool {
	if !r.Kind.hasContent() {
		return len(content) == 0 && r.Sum == 0
	}
	if len(content) < minContentLen {
		return false
	}
	flags := content[0]
	f := FieldReader{Rest: content[minContentLen:]}
	r.Topic = f.Bytes(uint64(binary.LittleEndian.Uint16(content[1:])))
	if flags != 0 {
		r.Delta = flags&isDelta != 0
		if flags&hasCorrelation != 0 {
			r.CorrelationID = f.text()
		}
		if flags&hasKey != 0 {
			r.SOWKey = f.text()
		}
		if flags&hasExpiration != 0 {
			r.Expiration = f.Uint32()
			f.Bad = f.Bad || r.Expiration == 0
		}
		if flags&hasHeaders != 0 {
			r.Headers = f.text()
			f.Bad = f.Bad || CheckHeaders(r.Headers) != nil
		}
		f.Bad = f.Bad || flags >= 2*hasHeaders
	}
	if len(f.Rest) > 0 {
		r.Body = f.Rest[:len(f.Rest):len(f.Rest)]
	}
	return !f.Bad
}

// SumMatches reports whether the content of a record that was read matches its sum.
func (r *Record) SumMatches() bool {
	if !r.Kind.hasContent() {
		return true
	}
	return contentSum(r.Raw[HeaderLen(r.Raw):]) == r.Sum || failpoint.On(failpoint.R11AnySum)
}

// HeaderLen returns the length of the header of a record. raw may be only the start of the
// record, at least 4 bytes.
func HeaderLen(raw []byte) int { return int(binary.LittleEndian.Uint16(raw[2:])) }

// Identity returns the publisher and sequence of a record without parsing the rest. ok is
// false if raw is too short.
func Identity(raw []byte) (publisher, sequence uint64, ok bool) {
	if len(raw) < minHeaderLen {
		return 0, 0, false
	}
	return binary.LittleEndian.Uint64(raw[8:]), binary.LittleEndian.Uint64(raw[16:]), true
}

// FieldReader reads fields from bytes that are not trusted. Once a field is missing, Bad is
// set and all further fields are empty or zero.
type FieldReader struct {
	Rest []byte
	Bad  bool
}

// Bytes returns the next n bytes. They share the memory of Rest.
func (f *FieldReader) Bytes(n uint64) []byte {
	if f.Bad || n > uint64(len(f.Rest)) {
		f.Bad, f.Rest = true, nil
		return nil
	}
	b := f.Rest[:n:n]
	f.Rest = f.Rest[n:]
	return b
}

// Byte, Uint16, Uint32 and Uint64 read a little-endian number.
func (f *FieldReader) Byte() byte     { return f.number(1)[0] }
func (f *FieldReader) Uint16() uint16 { return binary.LittleEndian.Uint16(f.number(2)) }
func (f *FieldReader) Uint32() uint32 { return binary.LittleEndian.Uint32(f.number(4)) }
func (f *FieldReader) Uint64() uint64 { return binary.LittleEndian.Uint64(f.number(8)) }

// zero has the bytes of a missing number.
var zero [8]byte

func (f *FieldReader) number(n uint64) []byte {
	if b := f.Bytes(n); b != nil {
		return b
	}
	return zero[:n]
}

// Uvarint reads an unsigned varint.
func (f *FieldReader) Uvarint() uint64 {
	v, n := binary.Uvarint(f.Rest)
	if f.Bad || n <= 0 {
		f.Bad, f.Rest = true, nil
		return 0
	}
	f.Rest = f.Rest[n:]
	return v
}

// Count reads the number of entries that follow, each of at least size bytes. A number that
// does not fit into Rest is bad.
func (f *FieldReader) Count(size int) int {
	n := f.Uvarint()
	if n > uint64(len(f.Rest)/size) {
		f.Bad, f.Rest = true, nil
		return 0
	}
	return int(n)
}

// text reads a text after its length. An empty text is bad.
func (f *FieldReader) text() []byte {
	n := f.Uint16()
	f.Bad = f.Bad || n == 0
	return f.Bytes(uint64(n))
}

// contentSum returns the sum of a content.
func contentSum(content []byte) uint32 {
	if failpoint.On(failpoint.R11HeadersNotInSum) {
		r := Record{Kind: Message}
		r.parseContent(content)
		r.SetSum()
		return r.Sum
	}
	return crc.Bytes(0, content)
}
