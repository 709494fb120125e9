package client

import (
	"fmt"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// ack handles an ack of a command, a subscription, the session or publishes.
func (cn *conn) ack(m *wire.Message) error {
	id := m.CommandID
	if m.Acks&wire.AckPersisted != 0 && len(m.SubID) > 0 {
		id = m.SubID
	}
	if len(id) > 0 {
		if r, is := cn.route(id); is {
			return r.r.ack(cn, r.id, m)
		}
	}
	_, err := cn.take(m)
	return err
}

// take handles an ack of the session or of publishes.
func (cn *conn) take(m *wire.Message) (e clientcore.Event, err error) {
	if e, err = cn.core.Take(m); err != nil {
		return e, inWords(err, "")
	}
	switch e.Kind {
	case clientcore.Acked:
		err = e.Ack.Apply(cn.c.store)
		cn.after(&e.Ack)
	case clientcore.Rejected:
		err = cn.rejected(e.Rejection)
	}
	return e, err
}

// after wakes the goroutines that wait for the watermarks of an ack.
func (cn *conn) after(e *clientcore.AckEffect) {
	if e.Moved {
		cn.c.core.wake()
	}
	if e.Opened {
		cn.out.Wake()
	}
	if on := e.Degraded; on || e.Restored {
		cn.c.events.post(func() { cn.c.tellDowngraded(on) })
	}
}

// rejected reports one message to the failed-write handler and then lets it go.
func (cn *conn) rejected(r clientcore.Rejection) error {
	m, err := r.Message(cn.c.store)
	switch {
	case err != nil:
		return err
	case m == nil:
		cn.told(&r)
	default:
		cn.c.events.post(func() {
			cn.c.failedWrite(&r, m, nil)
			cn.told(&r)
		})
	}
	return nil
}

// told notes that the application knows of a rejection.
func (cn *conn) told(r *clientcore.Rejection) {
	e := with(cn.c.core, func(s *clientcore.Session) clientcore.Event { return s.Told(r) })
	if err := e.Ack.Apply(cn.c.store); err != nil {
		cn.c.fail(err)
	}
	cn.after(&e.Ack)
}

// failedWrite calls the failed-write handler. Only then does it let the message go (G1) and
// complete its ticket. If why is not nil, it is the reason why the life of the message is given up.
// failedWrite runs on the session goroutine.
func (c *Client) failedWrite(r *clientcore.Rejection, m *pubstore.Message, why error) {
	e := &RejectedError{Publisher: pubstore.PublisherOf(r.Life), Message: m, Reason: r.Reason}
	switch unknown := strings.HasPrefix(r.Reason, wire.ReasonUnknown); {
	case why != nil:
		e.Err = fmt.Errorf("%w: %w", ErrOutcomeUnknown, why)
	case unknown:
		e.Err = ErrOutcomeUnknown
	}
	c.cfg.Logger.Warn("message rejected", "sequence", r.Sequence, "topic", e.Message.Topic, "reason", r.Reason)
	tell(c.cfg.Hooks.FailedWrite, e)
	c.record.change(func(s *Stats) { s.Publish.Rejected++ })
	if err := r.LetGo(c.store); err != nil {
		c.fail(err)
	}
	c.core.failed(r, e)
}
