package servercore

import (
	"bytes"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A Batch is what is left of a batch of publishes. Its owner executes them one by one,
// each as if it had come by itself: Next, Execute, and Decide while the session decides.
type Batch struct {
	session *Session
	rest    []byte
	publish wire.Message
	run     []record.Ordinary // scratch of TakeRun
}

// Batch begins a batch. What it returns is valid until the next call, and as long as the
// frame of m.
func (s *Session) Batch(m *wire.Message) *Batch {
	b := &s.reader.batch
	b.session, b.rest = s, m.Body
	return b
}

// Next returns the next publish and its size, or nil. An error ends the session.
func (b *Batch) Next() (m *wire.Message, size int, err error) {
	s := b.session
	if !s.who.ext {
		return nil, 0, fmt.Errorf("%w: the logon did not say ext", wire.ErrBatch)
	}
	rest, more, err := b.publish.TakePublish(b.rest, &s.reader.came)
	if err == nil && more {
		err = s.checkCame(&s.reader.came)
	}
	if err != nil || !more {
		return nil, 0, err
	}
	b.rest = rest
	return &b.publish, len(s.reader.came.Raw), nil
}

// runMost is how many messages are recorded at once.
const runMost = 64

// TakeRun records the messages at the beginning of what is left, as far as they are
// ordinary ones: new, one behind the other, and nothing has to be decided. Next
// goes on with the others. It is what Execute does for each, with fewer locks.
func (b *Batch) TakeRun() error {
	for s := b.session; s.takesRuns(s.reader.have + 1); {
		if b.look(); len(b.run) == 0 {
			return nil
		}
		t, err := unlessFenced(s, func() (ledger.Taken, error) { return s.reader.appender.AppendRun(s.who.claim.Check, b.run) })
		taken := t.Records
		if taken > 0 {
			s.reader.have += uint64(taken)
			s.inst.Counts.Published.Add(uint64(taken))
			s.took(s.reader.have, true)
			s.driver.Wake() // the watermark may have moved past them already
		}
		for _, o := range b.run[:taken] {
			b.rest = b.rest[record.LengthLen+len(o):]
		}
		if taken < runMost || err != nil {
			clear(b.run) // they share the frame's memory
			return err
		}
	}
	return nil
}

// look finds the run at the beginning of what is left.
func (b *Batch) look() {
	s, next := b.session, b.session.reader.have+1
	b.run = b.run[:0]
	for rest, topic := b.rest, []byte(nil); len(b.run) < runMost; next++ {
		raw, behind, whole := record.CutFramed(rest)
		if !whole {
			return
		}
		o, is := record.AsOrdinary(raw)
		if !is || o.Sequence() != next || o.Publisher() != s.who.claim.Publisher || o.Delta() || len(o) > s.inst.MaxMessage || !o.Sound() {
			return // it is looked at by itself
		}
		if t := o.Topic(); !bytes.Equal(t, topic) {
			if string(t) == devnull || s.refusesTopic(t, true) != "" {
				return
			}
			topic = t
		}
		b.run, rest = append(b.run, o), behind
	}
}

// takesRuns reports whether a message that is the next one may be recorded as it came.
func (s *Session) takesRuns(next uint64) bool {
	return s.who.ext && s.who.canSequence && len(s.who.user) == 0 && s.reader.begins == LogonWait &&
		(s.inst.Full == nil || !s.inst.Full()) && s.mayTake(next)
}

// Rest returns the records that Next has not returned.
func (b *Batch) Rest() []byte { return b.rest }

// checkCame says why a record of a batch is none that a client may send. The sum is
// believed from here on.
func (s *Session) checkCame(r *record.Record) error {
	switch {
	case r.Kind != record.Message || record.Introduced(r.Raw) || len(r.User) > 0:
		return fmt.Errorf("%w: a record of %v that is no client's", wire.ErrBatch, r.Kind)
	case r.Publisher != s.who.claim.Publisher:
		return fmt.Errorf("%w: a record of publisher %d in a session of %d", wire.ErrBatch, r.Publisher, s.who.claim.Publisher)
	case !r.Sound():
		return fmt.Errorf("%w: message %d has not the content that its sum says", wire.ErrBatch, r.Sequence)
	}
	return nil
}
