package seglog

import (
	"encoding/binary"

	"github.com/holdfast-mq/holdfast/internal/crc"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

const (
	frameHeader = 9  // length, checksum, kind
	frameAlign  = 8  // frames stand at multiples of it
	noteSize    = 24 // bytes of a note's frame

	kindNote  = 0x01
	ownerKind = 0x10 // the first kind that is the owner's
)

// align rounds n up to where a frame may stand.
func align(n int64) int64 { return (n + frameAlign - 1) &^ (frameAlign - 1) }

// frameSize returns the bytes a payload of n bytes takes.
func frameSize(n int) int { return int(align(int64(frameHeader + n))) }

// frameSum returns the checksum of a frame; body is its kind and payload.
func frameSum(salt uint32, p Position, length uint32, body []byte) uint32 {
	return crc.Bytes(crc.Number32(crc.Number64(salt, uint64(p)), length), body)
}

// sealFrame completes the frame at p whose payload of n bytes is in place.
func sealFrame(frame []byte, salt uint32, p Position, kind uint8, n int) {
	frame[8] = kind
	clear(frame[frameHeader+n:])
	binary.LittleEndian.PutUint32(frame, uint32(n))
	binary.LittleEndian.PutUint32(frame[4:], frameSum(salt, p, uint32(n), frame[8:frameHeader+n]))
}

// sealNote makes frame a note that the log is durable up to durable.
func sealNote(frame []byte, salt uint32, p, durable Position) {
	binary.LittleEndian.PutUint64(frame[frameHeader:], uint64(durable))
	sealFrame(frame, salt, p, kindNote, 8)
}

// frameLength returns the length of the payload that b, the start of a frame, states.
func frameLength(b []byte) int64 { return int64(binary.LittleEndian.Uint32(b)) }

// goodFrame reports whether a whole good frame stands at the start of b, and its size.
func goodFrame(b []byte, salt uint32, p Position) (size int, ok bool) {
	if len(b) < frameHeader || b[8] == 0 {
		return 0, false
	}
	n := frameLength(b)
	if n > int64(len(b)-frameHeader) {
		return 0, false
	}
	size = frameSize(int(n))
	if size > len(b) {
		return 0, false
	}
	want := binary.LittleEndian.Uint32(b[4:])
	return size, frameSum(salt, p, uint32(n), b[8:frameHeader+n]) == want || mut.On(mut.DNoCRC)
}

// record returns the record in a good frame that stands at p.
func record(frame []byte, p Position) Record {
	n := int(frameLength(frame))
	return Record{
		Position: p,
		Next:     p + Position(frameSize(n)),
		Kind:     frame[8],
		Payload:  frame[frameHeader : frameHeader+n : frameHeader+n],
	}
}

// noted returns the durable position that r notes, ok if r is a note that
// could be true: nothing is durable beyond the place where that is noted.
func (r *Record) noted() (durable Position, ok bool) {
	if r.Kind != kindNote || len(r.Payload) != 8 {
		return 0, false
	}
	durable = Position(binary.LittleEndian.Uint64(r.Payload))
	return durable, durable <= r.Position
}
