package pubstore

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/holdfast-mq/holdfast/internal/intern"
)

// A message is kept as one record, the same in all three stores:
//
//	offset  bytes
//	0       4  number of the life in its store, little endian as all of these
//	4       8  sequence
//	12      8  time of the append, nanoseconds since the Unix epoch
//	20      8  expiration, nanoseconds
//	28      1  flags: 1 delta_publish
//	29      2  length of the topic
//	31      2  length of the key
//	33      2  length of the correlation id
//	35         topic, key, correlation id, body
const recordHeader = 35

const flagDelta = 1

var errRecord = errors.New("record of a message is malformed")

// appendRecord appends the record of m but for its body.
func appendRecord(dst []byte, life uint32, m *Message) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, life)
	dst = le.AppendUint64(dst, m.Sequence)
	dst = le.AppendUint64(dst, uint64(m.Time.UnixNano()))
	dst = le.AppendUint64(dst, uint64(m.Expiration))
	var flags byte
	if m.Delta {
		flags |= flagDelta
	}
	dst = append(dst, flags)
	dst = le.AppendUint16(dst, uint16(len(m.Topic)))
	dst = le.AppendUint16(dst, uint16(len(m.SOWKey)))
	dst = le.AppendUint16(dst, uint16(len(m.CorrelationID)))
	dst = append(dst, m.Topic...)
	dst = append(dst, m.SOWKey...)
	return append(dst, m.CorrelationID...)
}

// recordIdentity returns whose record it is, without looking further.
func recordIdentity(rec []byte) (life uint32, seq uint64, err error) {
	if len(rec) < recordHeader {
		return 0, 0, errRecord
	}
	return binary.LittleEndian.Uint32(rec), binary.LittleEndian.Uint64(rec[4:]), nil
}

// recordMeta returns what a slot keeps of a record.
func recordMeta(rec []byte) (size int, ms int64) {
	return len(rec) - recordHeader, int64(binary.LittleEndian.Uint64(rec[12:])) / int64(time.Millisecond)
}

// wholeRecord reports whether a record has all that its header speaks of.
func wholeRecord(rec []byte) bool {
	if len(rec) < recordHeader {
		return false
	}
	topic, key, corr := textLengths(rec)
	return len(rec) >= recordHeader+topic+key+corr
}

// textLengths returns how long topic, key and correlation id are.
func textLengths(rec []byte) (topic, key, corr int) {
	le := binary.LittleEndian
	return int(le.Uint16(rec[29:])), int(le.Uint16(rec[31:])), int(le.Uint16(rec[33:]))
}

// decodeRecord reads a record into m, but for Prev. Body stays a part of rec.
func decodeRecord(rec []byte, m *Message, in *intern.Texts) error {
	if !wholeRecord(rec) {
		return errRecord
	}
	le := binary.LittleEndian
	topic, key, corr := textLengths(rec)
	m.Sequence = le.Uint64(rec[4:])
	m.Time = time.Unix(0, int64(le.Uint64(rec[12:])))
	m.Expiration = time.Duration(le.Uint64(rec[20:]))
	m.Delta = rec[28]&flagDelta != 0
	rest := rec[recordHeader:]
	m.Topic, rest = in.Of(rest[:topic]), rest[topic:]
	m.SOWKey, rest = string(rest[:key]), rest[key:]
	m.CorrelationID, rest = string(rest[:corr]), rest[corr:]
	m.Body = rest[:len(rest):len(rest)]
	return nil
}
