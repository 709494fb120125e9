package journal

import (
	"encoding/binary"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/crc"
	"github.com/holdfast-mq/holdfast/internal/record"
)

// timeLen is the length of the time before a record.
const timeLen = 8

// ErrTooLarge reports a record that is longer than the journal takes, or a
// field of it that its length can't be written of.
var ErrTooLarge = record.ErrTooLarge

// decodePayload reads a log record's payload: time and record.
func decodePayload(payload []byte, r *Record) error {
	if len(payload) < timeLen {
		return fmt.Errorf("%w: %d bytes", record.ErrMalformed, len(payload))
	}
	if err := record.Parse(payload[timeLen:], r); err != nil {
		return err
	}
	r.Time = int64(binary.LittleEndian.Uint64(payload))
	return nil
}

// Sums of records that say nothing, see sumOf; 0 is none.
const (
	tombstoneSum = 1
	emptySum     = 2
	leastContent = 3
)

// sumOf is the sum over kind and content of what stands for a number. Two
// records of one identity with different ones are a copied store (R11). It is 0
// of markers, which stand for anything.
func sumOf(r *Record) uint32 {
	switch r.Kind {
	case Message:
		return contentSum(r)
	case Tombstone:
		return tombstoneSum
	case Empty:
		return emptySum
	}
	return 0
}

// contentSum is the sum of what a message says, at least leastContent.
func contentSum(r *Record) uint32 {
	r.Seal()
	return max(r.Sum, leastContent)
}

// chainCRC returns the running CRC of a publisher after one more message.
func chainCRC(running uint32, sequence uint64, content uint32) uint32 {
	return crc.Number32(crc.Number64(running, sequence), content)
}
