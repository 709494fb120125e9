package wire

import "encoding/binary"

// batchHeader is the header of a batch: publishes as records, which ask for persisted
// acks. It is of our extensions, C→S.
//
//	{"c":"batch"}records
//
// Each record (package record) stands behind its length, 4 bytes, little endian.
const (
	batchName   = "batch"
	batchHeader = `{"c":"` + batchName + `"}`
)

// BatchRoom is what a batch has beside its records, and RecordRoom what it has for each.
const (
	BatchRoom  = len(batchHeader)
	RecordRoom = 4
)

// BeginBatch appends the start of a batch's frame.
func BeginBatch(dst []byte) []byte {
	return append(append(dst, 0, 0, 0, 0), batchHeader...)
}

// EndBatch sets the length of the batch's frame that begins at start, to the end of b.
func EndBatch(b []byte, start int) {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-prefixLen))
}

// AppendBatched appends a record to a batch.
func AppendBatched(dst, record []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, uint32(len(record))), record...)
}

// NextBatched takes the first record from the body of a batch. It is nil if there is
// none, and ok is false if there should be one.
func NextBatched(body []byte) (record, rest []byte, ok bool) {
	if len(body) == 0 {
		return nil, nil, true
	}
	if len(body) < RecordRoom {
		return nil, nil, false
	}
	n := uint64(binary.LittleEndian.Uint32(body))
	if body = body[RecordRoom:]; n > uint64(len(body)) {
		return nil, nil, false
	}
	return body[:n:n], body[n:], true
}
