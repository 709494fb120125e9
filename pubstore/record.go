package pubstore

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/holdfast-mq/holdfast/internal/intern"
	"github.com/holdfast-mq/holdfast/internal/record"
)

// minRecordLen is the length of the shortest stored form. The stored form of a message is the time
// of its Append (8 bytes, little endian, microseconds since the Unix epoch), followed by its record
// as the client sends it to servers (package record).
const minRecordLen = timeLen + record.MinLen

const timeLen = 8

// maxExtraLen is the maximum length of a stored form minus minRecordLen and Message.Size.
const maxExtraLen = 10

// An encoder makes stored forms. It is not safe for concurrent use.
type encoder struct {
	sum uint32 // checksum of the content of the last message

	record    record.Record
	template  record.Template // for publisher and topic of the last message that fits it
	publisher uint64
	topic     string
}

// append appends the stored form of m without its body, and sets sum. It does not fail for a
// message that the store has checked.
func (e *encoder) append(dst []byte, m *Message) (longer []byte, err error) {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.Time.UnixMicro()))
	if m.SOWKey != "" || m.CorrelationID != "" || m.Expiration > 0 || m.Delta || m.Headers.Size() > 0 {
		return e.appendAny(dst, m)
	}
	if e.topic != m.Topic || e.publisher != m.Publisher {
		if e.template, err = record.NewTemplate(m.Publisher, m.Topic); err != nil {
			return dst, err
		}
		e.publisher, e.topic = m.Publisher, m.Topic
	}
	dst, e.sum = e.template.AppendHead(dst, m.Sequence, m.Body)
	return dst, nil
}

// appendAny appends the part after the time, for a message with more fields than topic and body.
func (e *encoder) appendAny(dst []byte, m *Message) ([]byte, error) {
	r := &e.record
	*r = record.Record{
		Kind: record.Message, Publisher: m.Publisher, Sequence: m.Sequence, Prev: m.Sequence - 1,
		Topic:         append(r.Topic[:0], m.Topic...),
		CorrelationID: append(r.CorrelationID[:0], m.CorrelationID...),
		SOWKey:        append(r.SOWKey[:0], m.SOWKey...),
		Expiration:    uint32(min(m.Expiration/time.Second, math.MaxUint32)),
		Headers:       m.Headers.encoded,
		Delta:         m.Delta,
		Body:          m.Body,
	}
	dst, err := record.AppendHead(dst, r)
	r.Body, r.Headers, e.sum = nil, nil, r.Sum // do not hold on to the caller's memory
	return dst, err
}

// headLen returns the length of a stored form before its content. The content has its own
// checksum.
func headLen(rec []byte) int { return timeLen + record.HeaderLen(rec[timeLen:]) }

// recordIdentity returns the identity in a stored form. It does not check the rest.
func recordIdentity(rec []byte) (publisher, seq uint64, err error) {
	if len(rec) < minRecordLen {
		return 0, 0, fmt.Errorf("%w: %d bytes", record.ErrMalformed, len(rec))
	}
	publisher, seq, _ = record.Identity(rec[timeLen:])
	return publisher, seq, nil
}

// recordMeta returns the values for a slot: Message.Size, and the time in milliseconds.
func recordMeta(rec []byte) (size int, ms int64, err error) {
	var r record.Record
	if len(rec) < minRecordLen {
		return 0, 0, record.ErrMalformed
	}
	if err := record.Parse(rec[timeLen:], &r); err != nil {
		return 0, 0, err
	}
	return len(r.Topic) + len(r.Body) + len(r.SOWKey) + len(r.CorrelationID) + len(r.Headers), int64(binary.LittleEndian.Uint64(rec)) / 1000, nil
}

// decodeRecord decodes a stored form into m, except Prev. Body and Headers remain parts of rec.
func decodeRecord(rec []byte, m *Message, in *intern.Table) error {
	var r record.Record
	if len(rec) < minRecordLen {
		return record.ErrMalformed
	}
	if err := record.Parse(rec[timeLen:], &r); err != nil {
		return err
	}
	m.Publisher, m.Sequence, m.Delta, m.Body, m.record = r.Publisher, r.Sequence, r.Delta, r.Body, r.Raw
	m.Time = time.UnixMicro(int64(binary.LittleEndian.Uint64(rec)))
	m.Topic, m.SOWKey, m.CorrelationID = in.String(r.Topic), string(r.SOWKey), string(r.CorrelationID)
	m.Expiration = time.Duration(r.Expiration) * time.Second
	m.Headers = Headers{encoded: r.Headers}
	return nil
}
