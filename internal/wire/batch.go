package wire

import (
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

// BatchRoom is what a batch has beside its records.
const BatchRoom = len(batchHeader)

// BeginBatch appends the start of a batch's frame.
func BeginBatch(dst []byte) []byte {
	return append(append(dst, 0, 0, 0, 0), batchHeader...)
}

// EndBatch sets the length of the batch's frame that begins at start, to the end of b.
func EndBatch(b []byte, start int) {
	setLength(b, start)
}

// TakePublish takes the first record from what is left of a batch, which r shares memory
// with, and makes m the publish that it is. More is false if nothing was left.
func (m *Message) TakePublish(batch []byte, r *record.Record) (rest []byte, more bool, err error) {
	if len(batch) == 0 {
		return nil, false, nil
	}
	raw, rest, whole := record.CutFramed(batch)
	if !whole {
		return nil, false, fmt.Errorf("%w: it is cut", ErrBatch)
	}
	if err := record.Parse(raw, r); err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrBatch, err)
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
