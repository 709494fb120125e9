package record

import "encoding/binary"

// LengthLen is the number of bytes of the little-endian length that precedes each record in
// a sequence of records: in a batch, a stretch, or a link's frame.
const LengthLen = 4

// AppendFramed appends the length of a record and its bytes.
func AppendFramed(dst, raw []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, uint32(len(raw))), raw...)
}

// CutFramed cuts the first record off a sequence of records. ok is false if the record is
// truncated.
func CutFramed(b []byte) (raw, rest []byte, ok bool) {
	if len(b) < LengthLen {
		return nil, b, false
	}
	n := uint64(binary.LittleEndian.Uint32(b))
	if n > uint64(len(b)-LengthLen) {
		return nil, b, false
	}
	end := LengthLen + int(n)
	return b[LengthLen:end:end], b[end:], true
}
