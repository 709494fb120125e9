package client

import (
	"fmt"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// handleAck handles an ack of a command, a subscription, the session or publishes.
func (cn *conn) handleAck(m *wire.Message) error {
	id := m.CommandID
	if m.Acks&wire.AckPersisted != 0 && len(m.SubID) > 0 {
		id = m.SubID
	}
	if len(id) > 0 {
		if r, ok := cn.route(id); ok {
			return r.receiver.handleAck(cn, r.id, m)
		}
	}
	_, err := cn.handleSessionAck(m)
	return err
}

// handleSessionAck handles an ack of the session or of publishes.
func (cn *conn) handleSessionAck(m *wire.Message) (e clientcore.Event, err error) {
	if e, err = cn.core.HandleAck(m); err != nil {
		return e, asCommandError(err, "")
	}
	switch e.Kind {
	case clientcore.EventAcked:
		err = e.Ack.Apply(cn.c.store)
		cn.c.traceAcked(&e.Ack)
		cn.wakeForAck(&e.Ack)
	case clientcore.EventRejected:
		err = cn.handleRejection(e.Rejection)
	}
	return e, err
}

// wakeForAck wakes the goroutines that wait for the watermarks of an ack.
func (cn *conn) wakeForAck(e *clientcore.AckEffect) {
	if e.Moved {
		cn.c.core.wake()
	}
	if e.WindowOpened {
		cn.out.Wake()
	}
	if downgraded := e.Downgraded; downgraded || e.Restored {
		cn.c.events.post(func() { cn.c.reportDowngraded(cn.info, downgraded) })
	}
}

// handleRejection reports one message to the failed-write handler and then lets it go.
func (cn *conn) handleRejection(r clientcore.Rejection) error {
	m, err := r.Message(cn.c.store)
	switch {
	case err != nil:
		return err
	case m == nil:
		cn.rejectionReported(&r)
	default:
		cn.c.events.post(func() {
			cn.c.reportRejection(&r, m, nil)
			cn.rejectionReported(&r)
		})
	}
	return nil
}

// rejectionReported notes that the application knows of a rejection.
func (cn *conn) rejectionReported(r *clientcore.Rejection) {
	e := withCore(cn.c.core, func(s *clientcore.Session) clientcore.Event { return s.RejectionReported(r) })
	if err := e.Ack.Apply(cn.c.store); err != nil {
		cn.c.abort(err)
	}
	cn.c.traceAcked(&e.Ack)
	cn.wakeForAck(&e.Ack)
}

// reportRejection calls the failed-write handler. Only then does it let the message go (G1) and
// complete its ticket. abandoned is the reason why the life of the message is given up, or nil.
// reportRejection runs on the session goroutine.
func (c *Client) reportRejection(r *clientcore.Rejection, m *pubstore.Message, abandoned error) {
	e := &RejectedError{Publisher: pubstore.PublisherOf(r.Life), Message: m, Reason: r.Reason, Err: clientcore.CauseOf(r.Reason)}
	switch unknown := strings.HasPrefix(r.Reason, wire.ReasonOutcomeUnknown); {
	case r.Err != nil:
		e.Err = r.Err
	case abandoned != nil:
		e.Err = fmt.Errorf("%w: %w", ErrOutcomeUnknown, abandoned)
	case unknown:
		e.Err = ErrOutcomeUnknown
	}
	c.logRejected(e)
	if t := c.cfg.Tracer; t != nil {
		t.Rejected(e)
	}
	callHook(c.cfg.Hooks.FailedWrite, e)
	c.stats.change(func(s *Stats) { s.Publish.Rejected++ })
	if err := r.LetGo(c.store); err != nil {
		c.abort(err)
	}
	c.core.rejectTicket(r, e)
}

// logRejected logs a rejected message. With a failed-write handler, which gets every message, the
// log has a few for each reason.
func (c *Client) logRejected(e *RejectedError) {
	leftOut, ok := c.log.allow("rejected\x00"+e.Reason, rejectedLines)
	if ok || c.cfg.Hooks.FailedWrite == nil {
		c.cfg.Logger.Warn("message rejected", "publisher", e.Publisher, "sequence", e.Message.Sequence, "topic", e.Message.Topic,
			"reason", e.Reason, "left_out", orNil(leftOut))
	}
}

// rejectedLines are the lines about messages that were rejected for one reason in repeatTime.
const rejectedLines = 3
