package seglog

import (
	"encoding/binary"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/crc"
)

const (
	version          = 1
	headerSize       = 64
	footerSize       = 64
	headerCopyOffset = 4096 // offset of the copy of the header
	headOffset       = headerCopyOffset + headerSize

	headerMagic = "hfseglog"
	footerMagic = "hfsegend"

	// maxPosition keeps sums of positions and lengths far from overflow.
	maxPosition = Position(1) << 62
)

const (
	suffixLog = ".log"
	suffixTmp = ".tmp"
	suffixBad = ".bad"
)

// A segmentState tells how much of a segment is on disk.
type segmentState uint8

const (
	planned segmentState = iota // nothing: Write will make the file
	growing                     // the file that records are written to
	sealed                      // complete, synced, with a footer
)

// A segment is one file of a log. Fields that change are guarded by Log.mu.
type segment struct {
	header
	dir     string
	state   segmentState
	head    []byte // only while planned
	end     Position
	summary []byte
	decoded bool  // the owner needs summary no more, see Log.ReleaseSummary
	size    int64 // bytes on disk
	bad     bool  // the header is unreadable
}

func (s *segment) name() string { return path.Join(s.dir, segmentName(s.first, suffixLog)) }

// dropSummary frees the summary if it is on disk and the owner needs it no more. Log.mu is held.
func (s *segment) dropSummary() {
	if s.state == sealed && s.decoded {
		s.summary = nil
	}
}

// offset returns the offset of p in the file.
func (s *segment) offset(p Position) int64 { return s.dataStart() + int64(p-s.first) }

// position returns the position at an offset in the file, which must not be before the records.
func (s *segment) position(at int64) Position { return s.first + Position(at-s.dataStart()) }

func segmentName(first Position, suffix string) string {
	return fmt.Sprintf("%016x%s", uint64(first), suffix)
}

// parseName returns the position in a file name with the given suffix.
func parseName(name, suffix string) (Position, bool) {
	hex, ok := strings.CutSuffix(name, suffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(hex, 16, 64)
	p := Position(n)
	if err != nil || p >= maxPosition || segmentName(p, suffix) != name {
		return 0, false
	}
	return p, true
}

// A header is at the start of a segment, in two copies.
type header struct {
	salt    uint32
	first   Position
	durable Position
	headLen uint32
	headSum uint32
}

func (h *header) dataStart() int64 { return align(headOffset + int64(h.headLen)) }

func (h *header) appendTo(b []byte) []byte {
	return block{h.salt, h.first, h.durable, h.headLen, h.headSum}.appendTo(b, headerMagic)
}

func (h *header) decode(b []byte) bool {
	k, ok := decodeBlock(b, headerMagic)
	*h = header{salt: k.a, first: k.p, durable: k.q, headLen: k.b, headSum: k.c}
	return ok && h.first < maxPosition && h.durable < maxPosition
}

// appendStart appends all bytes before the records: both headers and the head.
func (h *header) appendStart(b, head []byte) []byte {
	at := len(b)
	b = h.appendTo(b)
	b = append(b, make([]byte, headerCopyOffset-headerSize)...)
	b = h.appendTo(b)
	b = append(b, head...)
	return append(b, make([]byte, h.dataStart()-int64(len(b)-at))...)
}

// A footer ends a sealed segment.
type footer struct {
	summaryLen uint32
	summarySum uint32
	first, end Position
}

func (f *footer) appendTo(b []byte) []byte {
	return block{a: f.summaryLen, p: f.first, q: f.end, b: f.summarySum}.appendTo(b, footerMagic)
}

func (f *footer) decode(b []byte) bool {
	k, ok := decodeBlock(b, footerMagic)
	*f = footer{summaryLen: k.a, first: k.p, end: k.q, summarySum: k.b}
	return ok && f.first <= f.end && f.end < maxPosition
}

// A block is the common format of headers, footers, cuts and the start of a stage: 64 bytes that
// begin with magic and version, continue with these numbers (zero if unused), and end with their
// checksum.
type block struct {
	a    uint32
	p, q Position
	b, c uint32
}

func (k block) appendTo(b []byte, magic string) []byte {
	at := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, k.a)
	b = binary.LittleEndian.AppendUint64(b, uint64(k.p))
	b = binary.LittleEndian.AppendUint64(b, uint64(k.q))
	b = binary.LittleEndian.AppendUint32(b, k.b)
	b = binary.LittleEndian.AppendUint32(b, k.c)
	b = append(b, make([]byte, headerSize-4-(len(b)-at))...)
	return binary.LittleEndian.AppendUint32(b, checksum(b[at:]))
}

// decodeBlock decodes a block of this version. ok is false if b is not one.
func decodeBlock(b []byte, magic string) (k block, ok bool) {
	if len(b) != headerSize || string(b[:8]) != magic ||
		binary.LittleEndian.Uint32(b[8:]) != version || !checksumValid(b) {
		return block{}, false
	}
	return block{
		a: binary.LittleEndian.Uint32(b[12:]),
		p: Position(binary.LittleEndian.Uint64(b[16:])),
		q: Position(binary.LittleEndian.Uint64(b[24:])),
		b: binary.LittleEndian.Uint32(b[32:]),
		c: binary.LittleEndian.Uint32(b[36:]),
	}, true
}

// checksumValid reports whether the last 4 of 64 bytes are the checksum of the others.
func checksumValid(b []byte) bool {
	return binary.LittleEndian.Uint32(b[headerSize-4:]) == checksum(b[:headerSize-4])
}

func checksum(b []byte) uint32 { return crc.Bytes(0, b) }
