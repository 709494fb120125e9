//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A frame of the bare pipeline, on the wire and on disk: length and CRC-32C of
// the body, 4 bytes each, little endian, then the body.
const frameHead = 8

var errFrame = errors.New("a frame is damaged")

func castagnoli(body []byte) uint32 { return crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) }

// appendFrame appends the frame of a body.
func appendFrame(b, body []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	b = binary.LittleEndian.AppendUint32(b, castagnoli(body))
	return append(b, body...)
}

// scan checks the complete frames at the start of b and returns their length and number.
func scan(b []byte) (length, frames int, err error) {
	for {
		rest := b[length:]
		if len(rest) < frameHead {
			return length, frames, nil
		}
		end := frameHead + int(binary.LittleEndian.Uint32(rest))
		if end > readBuffer {
			return length, frames, errFrame
		}
		if len(rest) < end {
			return length, frames, nil
		}
		if castagnoli(rest[frameHead:end]) != binary.LittleEndian.Uint32(rest[4:]) {
			return length, frames, errFrame
		}
		length, frames = length+end, frames+1
	}
}
