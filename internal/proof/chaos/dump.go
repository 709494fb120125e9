//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A record is one entry of a journal on disk.
type record struct {
	Publisher uint64 `json:"publisher"`
	Sequence  uint64 `json:"s"`
	Prev      uint64 `json:"prev"`
	Kind      uint8  `json:"kind"`
	Sum       uint32 `json:"sum"` // over all that goes over a link but the check
	Topic     string `json:"topic"`
	Name      string `json:"name,omitempty"` // of its publisher, and its number, from the body
	N         uint64 `json:"n,omitempty"`
}

// Kinds of frames, as the formats say (internal/seglog/doc.go, internal/journal/doc.go).
const (
	frameNote    = 0x01
	frameMessage = 0x10
	frameLast    = 0x14 // the last kind that is a record
	frameState   = 0x20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// dumpJournal calls fn with the records of an instance that has stopped. It
// is written from the description of the format and shares no code with the
// server, so that a mistake of the one is not a mistake of the other.
func dumpJournal(dir string, fn func(record, []byte) error) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return err
	}
	slices.Sort(names) // of one length, in hex
	for i, name := range names {
		end := int64(-1)
		if i+1 < len(names) {
			if end, err = firstPosition(names[i+1]); err != nil {
				return err
			}
		}
		if err := dumpSegment(name, end, fn); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
	}
	return nil
}

// firstPosition returns the position that a segment is named by.
func firstPosition(name string) (int64, error) {
	return strconv.ParseInt(strings.TrimSuffix(filepath.Base(name), ".log"), 16, 64)
}

// dumpSegment reads a segment that ends at end, or where its frames do if end is below 0.
func dumpSegment(name string, end int64, fn func(record, []byte) error) error {
	first, err := firstPosition(name)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	salt, at, err := readHeader(b, first)
	if err != nil {
		return err
	}
	for p := first; end < 0 || p < end; {
		kind, payload, size := readFrame(b[min(at, len(b)):], salt, p)
		if size == 0 {
			if end < 0 {
				return nil
			}
			return fmt.Errorf("there is no frame at position %d but the segment ends at %d", p, end)
		}
		if err := dumpFrame(kind, payload, fn); err != nil {
			return fmt.Errorf("position %d: %w", p, err)
		}
		p, at = p+int64(size), at+size
	}
	return nil
}

// readHeader checks a segment's header and returns its salt and where its frames begin.
func readHeader(b []byte, first int64) (salt uint32, at int, err error) {
	const again, length = 4096, 64
	if len(b) < again+length {
		return 0, 0, errors.New("too short for a segment")
	}
	h := b[:length]
	if string(h[:8]) != "hfseglog" || binary.LittleEndian.Uint32(h[60:]) != crc32.Checksum(h[:60], castagnoli) {
		return 0, 0, errors.New("no header")
	}
	if v := binary.LittleEndian.Uint32(h[8:]); v != 1 {
		return 0, 0, fmt.Errorf("version %d", v)
	}
	if p := binary.LittleEndian.Uint64(h[16:]); p != uint64(first) {
		return 0, 0, fmt.Errorf("the header says it begins at %d", p)
	}
	head := binary.LittleEndian.Uint32(h[32:])
	return binary.LittleEndian.Uint32(h[12:]), (again + length + int(head) + 7) &^ 7, nil
}

// readFrame returns the frame at the start of b, which is that of position p; size 0: there is none.
func readFrame(b []byte, salt uint32, p int64) (kind uint8, payload []byte, size int) {
	const header = 16
	if len(b) < header || b[8] == 0 {
		return 0, nil, 0
	}
	n, head := int(binary.LittleEndian.Uint32(b[4:])), int(binary.LittleEndian.Uint16(b[10:]))
	if n > len(b)-header || head > n {
		return 0, nil, 0
	}
	salt ^= uint32(uint64(p) * 0x9e3779b97f4a7c15 >> 32)
	if crc32.Update(salt, castagnoli, b[4:header+head]) != binary.LittleEndian.Uint32(b) ||
		crc32.Checksum(b[header+head:header+n], castagnoli) != binary.LittleEndian.Uint32(b[12:]) {
		return 0, nil, 0
	}
	return b[8], b[header : header+n], (header + n + 7) &^ 7
}

// The layout of a record, as in package record; this reader is separate on purpose.
const (
	recordHeader = 24
	checkLength  = 16

	hasPrev, hasCheck                     = 0x01, 0x02
	hasCorrelation, hasKey, hasExpiration = 0x02, 0x04, 0x08
	hasHeaders                            = 0x10
)

// withoutCheck returns a record without its publisher's check, which one instance
// may have in another record than the other.
func withoutCheck(raw []byte) []byte {
	at := recordHeader
	if raw[1]&hasPrev != 0 {
		at += 8
	}
	if raw[1]&hasCheck == 0 || len(raw) < at+checkLength {
		return raw
	}
	raw = slices.Delete(slices.Clone(raw), at, at+checkLength)
	raw[1] &^= hasCheck
	binary.LittleEndian.PutUint16(raw[2:], binary.LittleEndian.Uint16(raw[2:])-checkLength)
	return raw
}

// dumpFrame calls fn if the frame is a record.
func dumpFrame(kind uint8, payload []byte, fn func(record, []byte) error) error {
	switch {
	case kind == frameNote, kind == frameState:
		return nil
	case kind < frameMessage || kind > frameLast:
		return fmt.Errorf("a frame of kind %#x", kind)
	case len(payload) < 8+recordHeader:
		return fmt.Errorf("a record of %d bytes", len(payload))
	}
	raw := payload[8:] // after the local time
	r := record{
		Publisher: binary.LittleEndian.Uint64(raw[8:]),
		Sequence:  binary.LittleEndian.Uint64(raw[16:]),
		Kind:      raw[0],
		Sum:       crc32.Checksum(withoutCheck(raw), castagnoli),
	}
	if r.Kind != kind {
		return fmt.Errorf("a record of kind %#x in a frame of kind %#x", r.Kind, kind)
	}
	r.Prev = r.Sequence - 1
	header := int(binary.LittleEndian.Uint16(raw[2:]))
	if raw[1]&hasPrev != 0 && header >= recordHeader+8 {
		r.Prev = binary.LittleEndian.Uint64(raw[recordHeader:])
	}
	if header > len(raw) {
		return fmt.Errorf("a header of %d bytes in a record of %d", header, len(raw))
	}
	topic, body, err := readContent(raw[header:], binary.LittleEndian.Uint32(raw[4:]))
	if err != nil {
		return fmt.Errorf("record %d|%d: %w", r.Publisher, r.Sequence, err)
	}
	r.Topic = topic
	return fn(r, body)
}

// readContent returns the topic and the body of a content, which may be none, that has
// this sum.
func readContent(content []byte, sum uint32) (topic string, body []byte, err error) {
	if len(content) == 0 {
		return "", nil, nil
	}
	if got := crc32.Checksum(content, castagnoli); got != sum {
		return "", nil, fmt.Errorf("its content has the sum %08x, want %08x", got, sum)
	}
	flags, rest := content[0], content[1:]
	text := func(there bool) (b []byte) {
		if !there {
			return nil
		}
		if len(rest) < 2 || len(rest)-2 < int(binary.LittleEndian.Uint16(rest)) {
			err = fmt.Errorf("a content of %d bytes is cut", len(content))
			return nil
		}
		n := int(binary.LittleEndian.Uint16(rest))
		b, rest = rest[2:2+n], rest[2+n:]
		return b
	}
	topic = string(text(true))
	text(flags&hasCorrelation != 0)
	text(flags&hasKey != 0)
	if flags&hasExpiration != 0 && err == nil {
		rest = rest[min(4, len(rest)):]
	}
	text(flags&hasHeaders != 0)
	return topic, rest, err
}
