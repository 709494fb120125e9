package seglog

import (
	"bytes"
	"encoding/binary"

	"github.com/holdfast-mq/holdfast/internal/crc"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

const (
	frameHeader = 16 // bytes before the payload
	frameAlign  = 8  // frames begin at multiples of it
	noteSize    = 24 // bytes of a note's frame

	kindNote  = 0x01
	ownerKind = 0x10 // the first kind that owners may use

	maxPrefix = 1<<16 - 1 // longest prefix: bytes of a payload that the frame's first checksum can cover
)

// align rounds n up to the next place where a frame may begin.
func align(n int64) int64 { return (n + frameAlign - 1) &^ (frameAlign - 1) }

// frameSize returns the size of a frame with a payload of n bytes.
func frameSize(n int) int { return int(align(int64(frameHeader + n))) }

// frameSum returns the first checksum of a frame: over the rest of its header and the payload's
// prefix.
func frameSum(salt uint32, p Position, summed []byte) uint32 {
	return crc.Bytes(salt^uint32(uint64(p)*0x9e3779b97f4a7c15>>32), summed)
}

// frameFields are the fields of a frame header, without the first checksum.
type frameFields struct {
	length, prefix int // of the payload, and of the prefix that the first checksum covers
	kind           uint8
	rest           uint32 // checksum of the rest of the payload
}

// words returns the fields as they are encoded after the first checksum.
func (h *frameFields) words() (uint64, uint32) {
	return uint64(h.length) | uint64(h.kind)<<32 | uint64(h.prefix)<<48, h.rest
}

// sum returns the first checksum of a frame at p whose payload begins with these parts. It reads
// the parts and not the frame: reading bytes back that were just written in pieces of another size
// stalls the processor.
func (h *frameFields) sum(salt uint32, p Position, parts ...[]byte) uint32 {
	first, rest := h.words()
	sum := crc.Number32(crc.Number64(frameSum(salt, p, nil), first), rest)
	for left := h.prefix; left > 0; parts = parts[1:] {
		part := parts[0][:min(left, len(parts[0]))]
		sum = crc.Bytes(sum, part)
		left -= len(part)
	}
	return sum
}

// put fills in the header and the padding of a frame whose payload is in place.
func (h *frameFields) put(frame []byte, sum uint32) {
	first, rest := h.words()
	binary.LittleEndian.PutUint32(frame, sum)
	binary.LittleEndian.PutUint64(frame[4:], first)
	binary.LittleEndian.PutUint32(frame[12:], rest)
	clear(frame[frameHeader+h.length:])
}

// relocatedFrame returns a copy of a good frame, with its checksum for another salt and position.
func relocatedFrame(frame []byte, salt uint32, p Position) []byte {
	frame = bytes.Clone(frame)
	binary.LittleEndian.PutUint32(frame, frameSum(salt, p, frame[4:frameHeader+framePrefix(frame)]))
	return frame
}

// encodeNote makes frame a note that the log is durable up to durable.
func encodeNote(frame []byte, salt uint32, p, durable Position) {
	payload := frame[frameHeader:]
	binary.LittleEndian.PutUint64(payload, uint64(durable))
	h := frameFields{length: 8, prefix: 8, kind: kindNote}
	h.put(frame, h.sum(salt, p, payload))
}

// frameLength returns the length of the payload, as the frame header b states it.
func frameLength(b []byte) int64 { return int64(binary.LittleEndian.Uint32(b[4:])) }

// framePrefix returns the length of the payload's prefix, as the frame header b states it.
func framePrefix(b []byte) int { return int(binary.LittleEndian.Uint16(b[10:])) }

// restSum returns the checksum of the rest of the payload, as the frame header b states it.
func restSum(b []byte) uint32 { return binary.LittleEndian.Uint32(b[12:]) }

// isFrame reports whether the frame header b is consistent.
func isFrame(b []byte) bool {
	return b[8] != 0 && int64(framePrefix(b)) <= frameLength(b)
}

// goodFrame reports whether b begins with a complete good frame, and the size of that frame.
func goodFrame(b []byte, salt uint32, p Position) (size int, ok bool) {
	if len(b) < frameHeader || !isFrame(b) || frameLength(b) > int64(len(b)-frameHeader) {
		return 0, false
	}
	n, prefix := int(frameLength(b)), framePrefix(b)
	if size = frameSize(n); size > len(b) {
		return 0, false
	}
	ok = frameSum(salt, p, b[4:frameHeader+prefix]) == binary.LittleEndian.Uint32(b) &&
		(crc.Bytes(0, b[frameHeader+prefix:frameHeader+n]) == restSum(b) || failpoint.On(failpoint.DRestNotChecked))
	return size, ok || failpoint.On(failpoint.DNoCRC)
}

// record returns the record of a good frame at p.
func record(frame []byte, p Position) Record {
	n := int(frameLength(frame))
	return Record{
		Position: p,
		Next:     p + Position(frameSize(n)),
		Kind:     frame[8],
		Payload:  frame[frameHeader : frameHeader+n : frameHeader+n],
		frame:    frame[:frameSize(n)],
	}
}

// noted returns the durable position that the note r states. ok is false if r is not a note, or if
// the note cannot be true: a note cannot state a durable position beyond its own.
func (r *Record) noted() (durable Position, ok bool) {
	if r.Kind != kindNote || len(r.Payload) != 8 {
		return 0, false
	}
	durable = Position(binary.LittleEndian.Uint64(r.Payload))
	return durable, durable <= r.Position
}
