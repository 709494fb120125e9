package servercore

import (
	"bytes"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A Batch holds the publishes of a batch command that are not executed yet. Its owner executes them
// one by one, as if each had come in a frame of its own. It calls Next, then Execute, then Decide
// while the session is Deciding.
type Batch struct {
	session *Session
	rest    []byte
	publish wire.Message
	run     []record.OrdinaryMessage // scratch of TakeRun
}

// Batch starts the batch in m. The result is valid until the next call, and only as long as the
// frame of m.
func (s *Session) Batch(m *wire.Message) *Batch {
	b := &s.reader.batch
	b.session, b.rest = s, m.Body
	return b
}

// Next returns the next publish and its size in bytes, or nil at the end. An error ends the
// session.
func (b *Batch) Next() (m *wire.Message, size int, err error) {
	s := b.session
	if !s.client.ext {
		return nil, 0, fmt.Errorf("%w: the client logged on without our extensions", wire.ErrBatch)
	}
	rest, more, err := b.publish.NextPublish(b.rest, &s.reader.batchRecord)
	if err == nil && more {
		err = s.checkBatchRecord(&s.reader.batchRecord)
	}
	if err != nil || !more {
		return nil, 0, err
	}
	b.rest = rest
	return &b.publish, len(s.reader.batchRecord.Raw), nil
}

// maxRun is the largest number of messages in one append.
const maxRun = 64

// TakeRun records the messages at the front of the batch as long as they are ordinary, each has the
// next number, and nothing must be decided. Next continues with the rest. The result is the same as
// that of Execute on each message, with fewer locks.
func (b *Batch) TakeRun() error {
	for s := b.session; s.takesRuns(s.reader.have + 1); {
		if b.scanRun(); len(b.run) == 0 {
			return nil
		}
		s.beginProbe(s.reader.have + 1)
		result, err := appendUnlessFenced(s, func() (ledger.RunResult, error) {
			return s.reader.appender.AppendRun(s.client.claim.Check, s.client.user, b.run)
		})
		taken := result.Records
		if taken > 0 {
			s.reader.have += uint64(taken)
			s.inst.Counts.Published.Add(uint64(taken))
			s.inst.Counts.PublishedBytes.Add(uint64(result.To - result.From))
			s.trackPublish(s.reader.have, true)
			s.driver.Wake() // the watermark may have moved past them already
		}
		for _, o := range b.run[:taken] {
			b.rest = b.rest[record.LengthLen+len(o):]
		}
		if taken < maxRun || err != nil {
			clear(b.run) // the entries share the frame's memory
			return err
		}
	}
	return nil
}

// scanRun sets run to the ordinary messages at the front of the batch.
func (b *Batch) scanRun() {
	s, next := b.session, b.session.reader.have+1
	b.run = b.run[:0]
	for rest, topic := b.rest, []byte(nil); len(b.run) < maxRun; next++ {
		raw, behind, whole := record.CutFramed(rest)
		if !whole {
			return
		}
		o, is := record.AsOrdinary(raw)
		if !is || len(o.User()) > 0 || o.Sequence() != next || o.Publisher() != s.client.claim.Publisher || o.Delta() || len(o) > s.inst.MaxMessage || !o.SumMatches() {
			return // Execute handles it
		}
		if t := o.Topic(); !bytes.Equal(t, topic) {
			if string(t) == devnull || s.topicRefusalReason(t, true) != "" {
				return
			}
			topic = t
		}
		b.run, rest = append(b.run, o), behind
	}
}

// takesRuns reports whether messages may be recorded as runs, beginning with the number next.
func (s *Session) takesRuns(next uint64) bool {
	return s.client.ext && s.client.canSequence && s.reader.firstPublishStep == LogonWait && !s.reader.usesDecree &&
		(s.inst.Full == nil || !s.inst.Full()) && s.mayAppend(next)
}

// Rest returns the records that Next has not returned yet.
func (b *Batch) Rest() []byte { return b.rest }

// checkBatchRecord returns an error if a client must not send the record r in a batch. It verifies
// the record's sum, which is trusted from here on.
func (s *Session) checkBatchRecord(r *record.Record) error {
	switch {
	case r.Kind != record.Message || record.HasCheck(r.Raw) || len(r.User) > 0:
		return fmt.Errorf("%w: a client must not send this record of kind %v", wire.ErrBatch, r.Kind)
	case r.Publisher != s.client.claim.Publisher:
		return fmt.Errorf("%w: a record of publisher %d in a session of publisher %d", wire.ErrBatch, r.Publisher, s.client.claim.Publisher)
	case !r.SumMatches():
		return fmt.Errorf("%w: message %d does not match its checksum", wire.ErrBatch, r.Sequence)
	}
	return nil
}
