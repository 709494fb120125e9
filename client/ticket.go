package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A Ticket stands for the outcome of one message. The message becomes settled and then safe, or it
// is rejected. Flush waits for all messages, a ticket for its own:
//
//	t, err := c.PublishTicket(ctx, "orders", body)
//	if err == nil {
//		err = t.AwaitSettled(ctx)
//	}
//
// A ticket costs one allocation, and a few words until the message is safe. It has no goroutine and
// may be dropped without a wait. Its methods are safe for concurrent use.
type Ticket struct {
	c *Client
	t clientcore.Ticket // guarded by c.core.mu, except the numbers of the message
}

// PublishTicket does the same as Publish and returns a ticket. If the error is nil, the ticket is
// not nil.
func (c *Client) PublishTicket(ctx context.Context, topic string, body []byte) (*Ticket, error) {
	publisher, sequence, err := c.publish(ctx, topic, body)
	if err != nil {
		return nil, err
	}
	return c.newTicket(publisher, sequence), nil
}

// Ticket returns a ticket for a message that is, or was, in the publish store. publisher and
// sequence are the numbers that Ticket.Publisher and Ticket.Sequence return, and that
// PublishMessage and pubstore.Bolt.AppendMessageTx set in the message. After a restart they find
// the messages that the store still keeps. If an earlier process saw the message rejected, the
// ticket has a *RejectedError without the server's reason. The ticket has ErrOutcomeUnknown for any
// other message that an earlier process published and let go, for a message of another store, and
// for a rejected message if 256 later messages of its life were rejected before this call.
func (c *Client) Ticket(publisher, sequence uint64) *Ticket {
	known := slices.ContainsFunc(c.store.Lives(), func(l pubstore.Life) bool {
		return pubstore.PublisherOf(l.ID) == publisher && 0 < sequence && sequence <= l.Last
	})
	if !known {
		return &Ticket{c, clientcore.Ticket{Publisher: publisher, Sequence: sequence, Err: ErrOutcomeUnknown}}
	}
	return c.newTicket(publisher, sequence)
}

func (c *Client) newTicket(publisher, sequence uint64) *Ticket {
	t := &Ticket{c, clientcore.Ticket{Publisher: publisher, Sequence: sequence}}
	c.core.follow(&t.t)
	return t
}

// Publisher returns the id of the publisher, that is, of a life of the publish store. The message's
// bookmark has the same id.
func (t *Ticket) Publisher() uint64 { return t.t.Publisher }

// Sequence returns the sequence of the message, as Publish does.
func (t *Ticket) Sequence() uint64 { return t.t.Sequence }

// AwaitSettled waits until the message is settled, that is, on the disk of every server that counts
// at the moment, and returns nil. It returns a *RejectedError if the message is rejected, after the
// hook FailedWrite, and ErrOutcomeUnknown if the outcome cannot be known.
//
// If ctx ends first, or the client is closed, the error is a *PendingError, and the message is
// still on its way. Publishing it again would deliver it twice.
//
// Once AwaitSettled has returned nil, it always does, whatever happens later: see AwaitSafe.
func (t *Ticket) AwaitSettled(ctx context.Context) error { return t.await(ctx, false) }

// AwaitSafe waits for the stronger promise, as FlushSafe does: the message is on the disk of every
// server of the group that replicates synchronously. A message that was settled on one disk only
// may still be rejected by the other server, or its life may diverge (ErrDiverged). Then AwaitSafe
// returns that error.
//
// If the operator of the servers later declares a safe message lost, the hook Lost reports it, not
// the ticket.
func (t *Ticket) AwaitSafe(ctx context.Context) error { return t.await(ctx, true) }

func (t *Ticket) await(ctx context.Context, safe bool) error {
	w := t.c.waiters.Get().(*clientcore.Waiter)
	defer t.c.waiters.Put(w)
	mu := &t.c.core.mu
	if !withLock(mu, func() bool { return t.t.AddWaiter(w, safe) }) {
		return t.outcome(safe)
	}
	var endErr error
	select {
	case <-w.Ready:
		return t.outcome(safe)
	case <-ctx.Done():
		endErr = context.Cause(ctx)
	case <-t.c.finished:
		endErr = t.c.closedError()
	}
	if !withLock(mu, func() bool { return t.t.RemoveWaiter(w) }) {
		<-w.Ready // the wake-up is under way
		return t.outcome(safe)
	}
	settled := withLock(mu, func() bool { return t.t.Settled })
	return t.withNumbers(&PendingError{Messages: 1, Settled: settled, Err: endErr})
}

// outcome returns the error of a ticket whose outcome is known.
func (t *Ticket) outcome(safe bool) error {
	if err := withLock(&t.c.core.mu, func() error { return t.t.Outcome(safe) }); err != nil {
		return t.withNumbers(err)
	}
	return nil
}

// withNumbers adds the numbers of the message to err, unless err has them.
func (t *Ticket) withNumbers(err error) error {
	if errors.Is(err, clientcore.ErrRejectedBefore) {
		err = &RejectedError{Publisher: t.Publisher(), Message: &pubstore.Message{Sequence: t.Sequence()}, Reason: "reported to an earlier process"}
	}
	if _, rejected := errors.AsType[*RejectedError](err); rejected {
		return err
	}
	return fmt.Errorf("message %d of publisher %d: %w", t.Sequence(), t.Publisher(), err)
}

// wake wakes a list of waiters. It reports whether there were any.
func wake(w *clientcore.Waiter) bool {
	found := w != nil
	for w != nil {
		next := w.Next // w may be reused from now on
		w.Ready <- struct{}{}
		w = next
	}
	return found
}

// follow connects a ticket to the outcome of its message.
func (lc *lockedCore) follow(t *clientcore.Ticket) {
	if withCore(lc, func(s *clientcore.Session) bool { return s.Publisher().Follow(t) }) {
		return
	}
	lives := lc.store.Lives()
	lc.do(func(s *clientcore.Session) {
		s.Publisher().AddLives(lives)
		if !s.Publisher().Follow(t) {
			t.Err = ErrOutcomeUnknown
		}
	})
}

// rejectTicket sets the outcome of the ticket of a rejected message, if there is one.
func (lc *lockedCore) rejectTicket(r *clientcore.Rejection, e *RejectedError) {
	short := &RejectedError{Publisher: e.Publisher, Message: &pubstore.Message{Sequence: r.Sequence}, Reason: e.Reason, Err: e.Err}
	wake(withCore(lc, func(s *clientcore.Session) *clientcore.Waiter {
		return s.Publisher().FailTickets(r.Life, r.Sequence, e, short)
	}))
}
