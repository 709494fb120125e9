package journal

import (
	"encoding/binary"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/crc"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// timeLen is the length of the time before a record.
const timeLen = 8

// ErrTooLarge reports a record that is longer than MaxRecord, or a field that is too long for
// its length prefix.
var ErrTooLarge = record.ErrTooLarge

// decodeLogged decodes a log record, which is a time and a record, into r. It must not be a
// state record.
func decodeLogged(rec seglog.Record, r *Record) error {
	if len(rec.Payload) < timeLen {
		return fmt.Errorf("journal: record at %v: %w: %d bytes", rec.Position, record.ErrMalformed, len(rec.Payload))
	}
	err := record.Parse(rec.Payload[timeLen:], r)
	if err == nil && uint8(r.Kind) != rec.Kind {
		err = fmt.Errorf("%w: logged as kind %#x", record.ErrMalformed, rec.Kind)
	}
	if err != nil {
		return fmt.Errorf("journal: record at %v: %w", rec.Position, err)
	}
	r.Time = int64(binary.LittleEndian.Uint64(rec.Payload))
	r.Position, r.Next = ledger.Position(rec.Position), ledger.Position(rec.Next)
	return nil
}

// The sums of records without content, and the smallest sum of a content (see sumOf). 0 means
// no sum.
const (
	tombstoneSum  = 1
	emptySum      = 2
	minContentSum = 3
)

// sumOf returns the sum over a record's kind and content. Two records of one identity with
// different sums come from a copied store (R11). A marker may stand for any content: its sum
// is 0.
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

// contentSum returns the sum of a message's content, at least minContentSum.
func contentSum(r *Record) uint32 {
	r.SetSum()
	return max(r.Sum, minContentSum)
}

// chainCRC returns the running CRC of a publisher after one more message.
func chainCRC(running uint32, sequence uint64, content uint32) uint32 {
	return crc.Number32(crc.Number64(running, sequence), content)
}
