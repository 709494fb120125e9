package wire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/record"
)

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

// TakeRecord takes the first record from what is left of a batch, which r shares memory
// with. More is false if nothing was left.
func TakeRecord(batch []byte, r *record.Record) (rest []byte, more bool, err error) {
	if len(batch) == 0 {
		return nil, false, nil
	}
	if len(batch) < RecordRoom || uint64(len(batch)-RecordRoom) < uint64(binary.LittleEndian.Uint32(batch)) {
		return nil, false, fmt.Errorf("%w: it is cut", ErrBatch)
	}
	n := RecordRoom + int(binary.LittleEndian.Uint32(batch))
	if err := record.Parse(batch[RecordRoom:n:n], r); err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrBatch, err)
	}
	return batch[n:], true, nil
}

// SkipRecords returns what is left of a batch behind n records that are there.
func SkipRecords(batch []byte, n int) []byte {
	for range n {
		batch = batch[RecordRoom+int(binary.LittleEndian.Uint32(batch)):]
	}
	return batch
}

// TakePublish is TakeRecord that also makes m the publish that the record is.
func (m *Message) TakePublish(batch []byte, r *record.Record) (rest []byte, more bool, err error) {
	if rest, more, err = TakeRecord(batch, r); err != nil || !more {
		return rest, more, err
	}
	*m = Message{
		Command: Publish, Acks: AckPersisted, Topic: r.Topic, Body: r.Body, Sequence: r.Sequence, HasSequence: true,
		CorrelationID: r.CorrelationID, SOWKey: r.SOWKey, Expiration: uint64(r.Expiration), HasExpiration: r.Expiration > 0,
	}
	if r.Delta {
		m.Command = DeltaPublish
	}
	return rest, true, nil
}

// ErrBatch reports what is not a batch.
var ErrBatch = errors.New("malformed batch")
