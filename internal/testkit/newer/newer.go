// Package newer turns files into files of a later version of this module.
package newer

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// Where a segment of a log has its two headers and its head (internal/seglog).
const (
	headerSize = 64
	copyAt     = 4096
	headAt     = copyAt + headerSize

	knownVersion, newerVersion = 1, 2
)

func sum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// Header gives the header that a file of a log has at an offset version 2.
func Header(file []byte, at int) []byte { return header(file, at, newerVersion) }

func header(file []byte, at int, version uint32) []byte {
	b := slices.Clone(file)
	binary.LittleEndian.PutUint32(b[at+8:], version)
	seal(b[at:])
	return b
}

func seal(header []byte) {
	binary.LittleEndian.PutUint32(header[headerSize-4:], sum(header[:headerSize-4]))
}

// Segment gives a segment version 2.
func Segment(file []byte) []byte { return Header(Header(file, 0), copyAt) }

// SegmentUndo is Segment backwards.
func SegmentUndo(file []byte) []byte {
	return header(header(file, 0, knownVersion), copyAt, knownVersion)
}

// Head gives the owner's head of a segment the version after its own, which stands at an offset of the head.
func Head(segment []byte, at int) []byte {
	b := slices.Clone(segment)
	head := b[headAt:][:binary.LittleEndian.Uint32(b[32:])]
	head[at]++
	for _, header := range [][]byte{b, b[copyAt:]} {
		binary.LittleEndian.PutUint32(header[36:], sum(head))
		seal(header)
	}
	return b
}
