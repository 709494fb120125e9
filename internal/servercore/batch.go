package servercore

import (
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A Batch is what is left of a batch of publishes. Its owner executes them one by one,
// each as if it had come by itself: Next, Execute, and Decide while the session decides.
type Batch struct {
	session *Session
	rest    []byte
	publish wire.Message
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
