package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// publishTickets publishes n messages, each with a ticket.
func publishTickets(t *testing.T, c *client.Client, n int) []*client.Ticket {
	t.Helper()
	var tickets []*client.Ticket
	for range n {
		k, err := c.PublishTicket(t.Context(), "orders", []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, k)
	}
	return tickets
}

// An outcome receives the results of two waits for a ticket.
type outcome struct {
	settled, safe chan error
}

// awaitOutcome waits for a ticket in the background.
func awaitOutcome(ctx context.Context, k *client.Ticket) outcome {
	o := outcome{make(chan error, 1), make(chan error, 1)}
	go func() { o.settled <- k.AwaitSettled(ctx) }()
	go func() { o.safe <- k.AwaitSafe(ctx) }()
	return o
}

// expectPending fails the test if a wait has ended.
func expectPending(t *testing.T, name string, done chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		t.Errorf("%s: ended with %v", name, err)
	default:
	}
}

// expectDone returns the result of a wait, and fails the test if the wait has not ended.
func expectDone(t *testing.T, name string, done chan error) error {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		return err
	default:
		t.Errorf("%s: has not ended", name)
		return nil
	}
}

// A ticket is settled by one disk if only that one counts, and safe by both (G2).
func TestTicket(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		ss, m := srv.logon(0, 0)
		k := publishTickets(t, c, 3)
		if k[1].Sequence() != 2 || k[1].Publisher() != bookmark.IdentityOfLife(string(m.Store)).ID {
			t.Errorf("ticket of message %d of publisher %d", k[1].Sequence(), k[1].Publisher())
		}
		ss.expectPublishes(1, 2, 3)
		second, third := awaitOutcome(testContext(t), k[1]), awaitOutcome(testContext(t), k[2])
		again := awaitOutcome(testContext(t), c.Ticket(k[1].Publisher(), 2)) // another ticket for the same message
		ss.persisted(1)
		expectPending(t, "after the ack of another one", second.settled)
		ss.single(2)
		for _, o := range []outcome{second, again} {
			if err := expectDone(t, "single", o.settled); err != nil {
				t.Error(err)
			}
			expectPending(t, "safe", o.safe)
		}
		expectPending(t, "the one behind it", third.settled)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var pending *client.PendingError
		if err := k[1].AwaitSafe(ctx); !errors.As(err, &pending) || !pending.Settled || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait that ends early: %v", err)
		}
		ss.persisted(3)
		for _, o := range []chan error{second.safe, again.safe, third.settled, third.safe} {
			if err := expectDone(t, "persisted", o); err != nil {
				t.Error(err)
			}
		}
		if err := c.Ticket(k[0].Publisher(), 1).AwaitSafe(ctx); err != nil {
			t.Errorf("ticket of a message that is safe: %v", err)
		}
	})
}

// The ticket of a rejected message has the error once the failed-write handler was called. The ack
// of a later message never settles it (R14).
func TestTicketRejected(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		gate := make(chan struct{})
		cfg := config(n, "a")
		cfg.Hooks.FailedWrite = func(*client.RejectedError) { <-gate }
		c := start(t, cfg)
		ss, _ := srv.logon(0, 0)
		k := publishTickets(t, c, 3)
		ss.expectPublishes(1, 2, 3)
		first, second, third := awaitOutcome(testContext(t), k[0]), awaitOutcome(testContext(t), k[1]), awaitOutcome(testContext(t), k[2])
		ss.reject(2, "not entitled")
		ss.persisted(3)
		if err := expectDone(t, "before it", first.safe); err != nil {
			t.Error(err)
		}
		expectPending(t, "before the handler is called", second.settled)
		expectPending(t, "behind it", third.settled)
		close(gate)
		for _, o := range []chan error{second.settled, second.safe} {
			var rejected *client.RejectedError
			if err := expectDone(t, "reported", o); !errors.As(err, &rejected) || rejected.Message.Sequence != 2 || rejected.Reason != "not entitled" || errors.Is(err, client.ErrOutcomeUnknown) {
				t.Errorf("rejected: %v", err)
			}
		}
		for _, o := range []chan error{third.settled, third.safe} {
			if err := expectDone(t, "behind it", o); err != nil {
				t.Error(err)
			}
		}
		var rejected *client.RejectedError
		if err := c.Ticket(k[1].Publisher(), 2).AwaitSettled(testContext(t)); !errors.As(err, &rejected) || rejected.Reason != "not entitled" {
			t.Errorf("ticket of a message that was rejected: %v", err)
		}
	})
}

// If the servers cannot know the outcome of a message, neither can the ticket.
func TestTicketUnknown(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		ss, _ := srv.logon(0, 0)
		k := publishTickets(t, c, 1)
		ss.expectPublishes(1)
		ss.reject(1, wire.ReasonOutcomeUnknown)
		if err := k[0].AwaitSettled(testContext(t)); !errors.Is(err, client.ErrOutcomeUnknown) {
			t.Error(err)
		}
	})
}

// A ticket of a life that has diverged keeps an outcome that it has reported. Otherwise it reports
// that the outcome is unknown, and the reason (R11).
func TestTicketDiverged(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		ss, m := srv.logon(0, 0)
		k := publishTickets(t, c, 3)
		ss.expectPublishes(1, 2, 3)
		waits := awaitOutcome(testContext(t), k[2])
		ss.persisted(1)
		ss.single(2)
		synctest.Wait()
		ss.ack(wire.AckMessage{Type: wire.AckProcessed, Reason: wire.ReasonPublisherDiverged, MessageBookmark: bookmark.Bookmark{Publisher: bookmark.IdentityOfLife(string(m.Store)).ID, Sequence: 2}})
		ss.expectClosed()
		ss, _ = srv.logon(0, 0)
		if err := k[0].AwaitSafe(testContext(t)); err != nil {
			t.Errorf("message that was safe: %v", err)
		}
		if err := k[1].AwaitSettled(testContext(t)); err != nil {
			t.Errorf("message that was settled: %v", err)
		}
		for name, err := range map[string]error{"settled": k[1].AwaitSafe(testContext(t)), "waited for": expectDone(t, "diverged", waits.settled), "sent": k[2].AwaitSafe(testContext(t))} {
			var rejected *client.RejectedError
			if !errors.As(err, &rejected) || !errors.Is(err, client.ErrOutcomeUnknown) || !errors.Is(err, client.ErrDiverged) {
				t.Errorf("message that was %s: %v", name, err)
			}
		}
		next := publishTickets(t, c, 1)[0]
		if next.Publisher() == k[0].Publisher() || next.Sequence() != 1 {
			t.Errorf("the next message is %d of publisher %d", next.Sequence(), next.Publisher())
		}
		ss.expectPublishes(1)
		ss.persisted(1)
		if err := next.AwaitSafe(testContext(t)); err != nil {
			t.Error(err)
		}
	})
}

// Another process finds a message by its two numbers, as long as the store keeps it.
func TestTicketAfterARestart(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.PublishStore = pubstore.NewMemory(pubstore.MemoryOptions{})
		c := start(t, cfg)
		ss, _ := srv.logon(0, 0)
		k := publishTickets(t, c, 4)
		publisher := k[0].Publisher()
		ss.expectPublishes(1, 2, 3, 4)
		ss.persisted(1)
		ss.reject(3, "not entitled")
		synctest.Wait()
		waits := awaitOutcome(testContext(t), k[1])
		synctest.Wait()
		c.Close()
		var pending *client.PendingError
		if err := expectDone(t, "closed", waits.safe); !errors.As(err, &pending) || !errors.Is(err, client.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if err := k[0].AwaitSafe(t.Context()); err != nil {
			t.Errorf("closed, of a message that was safe: %v", err)
		}

		c = start(t, cfg)
		for _, name := range [][2]uint64{{publisher, 1}, {publisher, 5}, {publisher, 0}, {publisher + 1, 2}} {
			if err := c.Ticket(name[0], name[1]).AwaitSettled(t.Context()); !errors.Is(err, client.ErrOutcomeUnknown) {
				t.Errorf("message %d of publisher %d: %v", name[1], name[0], err)
			}
		}
		var rejected *client.RejectedError
		if err := c.Ticket(publisher, 3).AwaitSettled(t.Context()); !errors.As(err, &rejected) || rejected.Message.Sequence != 3 {
			t.Errorf("message that was rejected before: %v", err)
		}
		second := awaitOutcome(testContext(t), c.Ticket(publisher, 2))
		ss, _ = srv.logon(1, 1)
		ss.expectPublishes(2, 4)
		expectPending(t, "kept", second.settled)
		ss.persisted(2)
		if err := expectDone(t, "sent again", second.safe); err != nil {
			t.Error(err)
		}
		if err := c.Ticket(publisher, 2).AwaitSafe(t.Context()); err != nil {
			t.Errorf("ticket of what was acknowledged in this process: %v", err)
		}
		ss.persisted(4)
		if err := c.Ticket(publisher, 3).AwaitSettled(t.Context()); !errors.As(err, &rejected) {
			t.Errorf("message that was rejected before and is below acked: %v", err)
		}
	})
}

// A new life of the store has its own tickets. Those of the former life stay valid.
func TestTicketsOfTwoLives(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		ss, _ := srv.logon(0, 0)
		former := publishTickets(t, c, 1)[0]
		ss.expectPublishes(1)
		if err := c.RenewLife(); err != nil {
			t.Fatal(err)
		}
		fresh := publishTickets(t, c, 1)[0]
		ss.persisted(1)
		if err := former.AwaitSafe(testContext(t)); err != nil {
			t.Error(err)
		}
		expectPending(t, "of another life", awaitOutcome(testContext(t), fresh).settled)
		ss, _ = srv.logon(0, 0)
		ss.expectPublishes(1)
		ss.persisted(1)
		if err := fresh.AwaitSafe(testContext(t)); err != nil {
			t.Error(err)
		}
	})
}

// A server without our extensions settles and rejects messages under its own numbers.
func TestTicketPlainServer(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		k := publishTickets(t, c, 3)
		ss := srv.plainLogon(0)
		base := ss.expect(wire.Publish).Sequence - 1
		ss.expectPublishes(base+2, base+3)
		ss.reject(base+2, "not entitled")
		ss.persisted(base + 3)
		for i, wants := range []bool{false, true, false} {
			var rejected *client.RejectedError
			if err := k[i].AwaitSafe(testContext(t)); errors.As(err, &rejected) != wants || !wants && err != nil {
				t.Errorf("message %d: %v", i+1, err)
			}
		}
	})
}

// Many goroutines wait at once, and some stop early. Each gets the outcome of its own message.
func TestManyTickets(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		ss, _ := srv.logon(0, 0)
		const many = 500
		var wg sync.WaitGroup
		for i := range many {
			wg.Go(func() {
				k, err := c.PublishTicket(t.Context(), "orders", fmt.Append(nil, i))
				if err != nil {
					t.Error(err)
					return
				}
				if i%5 == 0 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Microsecond)
					defer cancel()
					k.AwaitSafe(ctx)
				}
				var rejected *client.RejectedError
				if err := k.AwaitSafe(testContext(t)); errors.As(err, &rejected) != (k.Sequence()%7 == 0) || rejected == nil && err != nil || rejected != nil && rejected.Message.Sequence != k.Sequence() {
					t.Errorf("message %d: %v", k.Sequence(), err)
				}
			})
		}
		for s := uint64(1); s <= many; s++ {
			ss.expectPublishes(s)
			time.Sleep(time.Microsecond)
			if s%7 == 0 {
				ss.reject(s, "not entitled")
			}
			if s%3 == 0 || s == many {
				ss.persisted(s)
			}
		}
		wg.Wait()
	})
}
