package record

import "encoding/binary"

// LengthLen is the length of the length, little endian, that stands before each of
// several records where nothing else says how long they are: in a batch, a stretch, a
// link's frame.
const LengthLen = 4

// AppendFramed appends the bytes of a record behind their length.
func AppendFramed(dst, raw []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, uint32(len(raw))), raw...)
}

// CutFramed cuts the first record off from several. Ok is false if it is not whole.
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
