package seglog

import (
	"encoding/binary"
	"path"
	"strconv"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/crc"
)

const (
	version     = 1
	headerSize  = 64
	footerSize  = 64
	headerAgain = 4096 // where the header's copy stands
	headStart   = headerAgain + headerSize

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

// A segmentState says what a segment has on disk.
type segmentState uint8

const (
	planned segmentState = iota // nothing: Write will make the file
	growing                     // the file that is written to
	sealed                      // all of it, synced, with a footer
)

// A segment is one file of a log. Fields that change are guarded by Log.mu.
type segment struct {
	header
	dir     string
	state   segmentState
	head    []byte // while planned
	end     Position
	summary []byte
	size    int64 // bytes on disk
	bad     bool  // the header is unreadable
}

func (s *segment) name() string { return path.Join(s.dir, segmentName(s.first, suffixLog)) }

// offset returns where in the file p stands.
func (s *segment) offset(p Position) int64 { return s.dataStart() + int64(p-s.first) }

// position returns what stands at a place in the file that is not before the records.
func (s *segment) position(at int64) Position { return s.first + Position(at-s.dataStart()) }

func segmentName(first Position, suffix string) string {
	s := strconv.FormatUint(uint64(first), 16)
	return strings.Repeat("0", 16-len(s)) + s + suffix
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

// A header is what stands, twice, at the start of a segment.
type header struct {
	salt    uint32
	first   Position
	durable Position
	headLen uint32
	headSum uint32
}

func (h *header) dataStart() int64 { return align(headStart + int64(h.headLen)) }

func (h *header) appendTo(b []byte) []byte {
	at := len(b)
	b = append(b, headerMagic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, h.salt)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.first))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.durable))
	b = binary.LittleEndian.AppendUint32(b, h.headLen)
	b = binary.LittleEndian.AppendUint32(b, h.headSum)
	b = append(b, make([]byte, headerSize-4-(len(b)-at))...)
	return binary.LittleEndian.AppendUint32(b, checksum(b[at:]))
}

func (h *header) decode(b []byte) bool {
	if !framed(b, headerMagic) {
		return false
	}
	h.salt = binary.LittleEndian.Uint32(b[12:])
	h.first = Position(binary.LittleEndian.Uint64(b[16:]))
	h.durable = Position(binary.LittleEndian.Uint64(b[24:]))
	h.headLen = binary.LittleEndian.Uint32(b[32:])
	h.headSum = binary.LittleEndian.Uint32(b[36:])
	return h.first < maxPosition && h.durable < maxPosition
}

// appendStart appends all that stands before the records.
func (h *header) appendStart(b, head []byte) []byte {
	at := len(b)
	b = h.appendTo(b)
	b = append(b, make([]byte, headerAgain-headerSize)...)
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
	at := len(b)
	b = append(b, footerMagic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, f.summaryLen)
	b = binary.LittleEndian.AppendUint64(b, uint64(f.first))
	b = binary.LittleEndian.AppendUint64(b, uint64(f.end))
	b = binary.LittleEndian.AppendUint32(b, f.summarySum)
	b = append(b, make([]byte, footerSize-4-(len(b)-at))...)
	return binary.LittleEndian.AppendUint32(b, checksum(b[at:]))
}

func (f *footer) decode(b []byte) bool {
	if !framed(b, footerMagic) {
		return false
	}
	f.summaryLen = binary.LittleEndian.Uint32(b[12:])
	f.first = Position(binary.LittleEndian.Uint64(b[16:]))
	f.end = Position(binary.LittleEndian.Uint64(b[24:]))
	f.summarySum = binary.LittleEndian.Uint32(b[32:])
	return f.first <= f.end && f.end < maxPosition
}

// framed checks what headers, footers and cuts have in common: 64 bytes that begin
// with magic and version and end with their checksum.
func framed(b []byte, magic string) bool {
	return len(b) == headerSize && string(b[:8]) == magic &&
		binary.LittleEndian.Uint32(b[8:]) == version && sumStands(b)
}

// sumStands reports whether 64 bytes end with the checksum of those before.
func sumStands(b []byte) bool {
	return binary.LittleEndian.Uint32(b[headerSize-4:]) == checksum(b[:headerSize-4])
}

func checksum(b []byte) uint32 { return crc.Bytes(0, b) }
