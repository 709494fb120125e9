package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A Ticket stands for the outcome of one message: it is settled, then safe, or it is
// rejected. Flush waits for all messages, a ticket for its own:
//
//	t, err := c.PublishTicket(ctx, "orders", body)
//	if err == nil {
//		err = t.Settled(ctx)
//	}
//
// A ticket costs one allocation, and a few words until the message is safe; there is
// no goroutine behind it. Nobody needs to wait for it. Its methods are safe for
// concurrent use.
type Ticket struct {
	c *Client
	t clientcore.Ticket // guarded by c.core.mu, but for what names the message
}

// PublishTicket is Publish that returns a ticket. Without an error the ticket is not nil.
func (c *Client) PublishTicket(ctx context.Context, topic string, body []byte) (*Ticket, error) {
	publisher, sequence, err := c.publish(ctx, topic, body)
	if err != nil {
		return nil, err
	}
	return c.follow(publisher, sequence), nil
}

// Ticket returns a ticket for a message that is in the publish store, or was: by the
// numbers that Ticket.Publisher and Ticket.Sequence return, and PublishMessage and
// pubstore.Bolt.AppendMessageTx put into the message. After a restart these find the
// messages that the store still keeps. Of one that an earlier process saw rejected
// the ticket has a *RejectedError without the server's reason; of any other, and of
// one that was rejected before some hundred others, ErrOutcomeUnknown.
func (c *Client) Ticket(publisher, sequence uint64) *Ticket {
	given := slices.ContainsFunc(c.store.Lives(), func(l pubstore.Life) bool {
		return pubstore.PublisherOf(l.ID) == publisher && 0 < sequence && sequence <= l.Last
	})
	if !given {
		return &Ticket{c, clientcore.Ticket{Publisher: publisher, Sequence: sequence, Err: ErrOutcomeUnknown}}
	}
	return c.follow(publisher, sequence)
}

func (c *Client) follow(publisher, sequence uint64) *Ticket {
	t := &Ticket{c, clientcore.Ticket{Publisher: publisher, Sequence: sequence}}
	c.core.follow(&t.t)
	return t
}

// Publisher returns the id of the publisher, which is that of a life of the publish
// store. Bookmarks of the message have it, too.
func (t *Ticket) Publisher() uint64 { return t.t.Publisher }

// Sequence returns what Publish would have returned.
func (t *Ticket) Sequence() uint64 { return t.t.Sequence }

// Settled returns nil when the message is settled, as Flush does: it is on the disk
// of every server that counts at the moment. It returns a *RejectedError when it is
// rejected and the hook FailedWrite has been told, and ErrOutcomeUnknown if that is so.
//
// If ctx ends first, or the client is closed, the error is an *UnsettledError, and
// the message is still on its way. Publishing it again would deliver it twice.
//
// What was settled stays so for the ticket, whatever comes later: see Safe.
func (t *Ticket) Settled(ctx context.Context) error { return t.await(ctx, false) }

// Safe is Settled for the stronger promise, as FlushSafe is Flush: the message is on
// the disk of every server of the group that replicates synchronously. A message that
// was settled on one disk alone may still be rejected by the other server, or share
// the fate of a life that has diverged (ErrDiverged); then that is the error.
//
// What was safe and is declared lost later by the operator of the servers is told to
// the hook Lost, not to tickets.
func (t *Ticket) Safe(ctx context.Context) error { return t.await(ctx, true) }

func (t *Ticket) await(ctx context.Context, safe bool) error {
	w := t.c.waiters.Get().(*clientcore.Waiter)
	defer t.c.waiters.Put(w)
	mu := &t.c.core.mu
	if !under(mu, func() bool { return t.t.Join(w, safe) }) {
		return t.outcome(safe)
	}
	var why error
	select {
	case <-w.Ready:
		return t.outcome(safe)
	case <-ctx.Done():
		why = context.Cause(ctx)
	case <-t.c.finished:
		why = t.c.closedError()
	}
	if !under(mu, func() bool { return t.t.Leave(w) }) {
		<-w.Ready // it is on its way
		return t.outcome(safe)
	}
	settled := under(mu, func() bool { return t.t.Settled })
	return t.failure(&UnsettledError{Messages: 1, Settled: settled, Err: why})
}

// outcome returns the error of a ticket that is done.
func (t *Ticket) outcome(safe bool) error {
	if err := under(&t.c.core.mu, func() error { return t.t.Outcome(safe) }); err != nil {
		return t.failure(err)
	}
	return nil
}

// failure names the message, unless err does.
func (t *Ticket) failure(err error) error {
	if errors.Is(err, clientcore.ErrRejectedBefore) {
		err = &RejectedError{Publisher: t.Publisher(), Message: &pubstore.Message{Sequence: t.Sequence()}, Reason: "an earlier process was told of it"}
	}
	if _, rejected := errors.AsType[*RejectedError](err); rejected {
		return err
	}
	return fmt.Errorf("message %d of publisher %d: %w", t.Sequence(), t.Publisher(), err)
}

// wake wakes waiters, and reports whether there are any.
func wake(w *clientcore.Waiter) bool {
	any := w != nil
	for w != nil {
		next := w.Next // w is another's from now on
		w.Ready <- struct{}{}
		w = next
	}
	return any
}

// follow has a ticket follow its message.
func (o *lockedCore) follow(t *clientcore.Ticket) {
	if with(o, func(s *clientcore.Session) bool { return s.Publisher().Follow(t) }) {
		return
	}
	lives := o.store.Lives()
	o.do(func(s *clientcore.Session) {
		s.Publisher().Know(lives)
		if !s.Publisher().Follow(t) {
			t.Err = ErrOutcomeUnknown
		}
	})
}

// failed tells the ticket of a message that was rejected, if there is one.
func (o *lockedCore) failed(r *clientcore.Rejection, e *RejectedError) {
	short := &RejectedError{Publisher: e.Publisher, Message: &pubstore.Message{Sequence: r.Sequence}, Reason: e.Reason, Err: e.Err}
	wake(with(o, func(s *clientcore.Session) *clientcore.Waiter {
		return s.Publisher().Failed(r.Life, r.Sequence, e, short)
	}))
}
