package wire

import (
	"errors"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/record"
)

// batchHeader is the header of a batch, C→S. A batch is one of our extensions: several
// publishes that ask for persisted acks, as records.
//
//	{"c":"batch"}records
//
// The length of each record (package record) precedes it: 4 bytes, little endian.
const (
	batchName   = "batch"
	batchHeader = `{"c":"` + batchName + `"}`
)

// BatchOverhead is the number of bytes in a batch besides its records, without the length
// prefix.
const BatchOverhead = len(batchHeader)

// BeginBatch appends the start of the frame of a batch.
func BeginBatch(dst []byte) []byte {
	return append(append(dst, 0, 0, 0, 0), batchHeader...)
}

// EndBatch sets the length of the batch whose frame begins at start and ends with b.
func EndBatch(b []byte, start int) {
	setLength(b, start)
}

// NextPublish takes the first record from the unread rest of a batch and makes m the publish in
// it. r shares memory with batch. more is false at the end of the batch.
func (m *Message) NextPublish(batch []byte, r *record.Record) (rest []byte, more bool, err error) {
	if len(batch) == 0 {
		return nil, false, nil
	}
	raw, rest, whole := record.CutFramed(batch)
	if !whole {
		return nil, false, fmt.Errorf("%w: a record is truncated", ErrBatch)
	}
	if err := record.Parse(raw, r); err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrBatch, err)
	}
	*m = Message{
		Command: Publish, Acks: AckPersisted, Topic: r.Topic, Body: r.Body, Sequence: r.Sequence, HasSequence: true,
		CorrelationID: r.CorrelationID, SOWKey: r.SOWKey, Expiration: uint64(r.Expiration), HasExpiration: r.Expiration > 0,
		Headers: r.Headers,
	}
	if r.Delta {
		m.Command = DeltaPublish
	}
	return rest, true, nil
}

// ErrBatch reports a malformed batch.
var ErrBatch = errors.New("malformed batch")
