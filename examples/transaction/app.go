package main

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/transaction"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// An app turns orders into invoices. Its accounts, its publish store and its
// bookmark store share one database.
type app struct {
	db     *bbolt.DB
	outbox interface { // a *pubstore.Bolt
		AppendTx(tx *bbolt.Tx, topic string, body []byte) (uint64, error)
		AwaitRoom(ctx context.Context, size int) error
	}
	marks interface { // a *bookmarkstore.Bolt
		DiscardTx(tx *bbolt.Tx, m bookmarkstore.MessageRef) error
	}
	client *client.Client
	trial  *transaction.Trial // is told each step, and kills the process at one of them
}

// maxOutstanding is the bound of the publish store in messages. It is low, so that the
// store gets full while an instance is away.
const maxOutstanding = 48

// maxInvoice is an upper bound for the size of an invoice in bytes.
const maxInvoice = 1 << 10

// run opens the database with both stores, connects, and handles orders until ctx ends.
func run(ctx context.Context, database string, servers []string, t *transaction.Trial) error {
	db, err := bbolt.Open(database, 0o600, &bbolt.Options{
		Timeout: time.Minute, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, // see pubstore.OpenBoltIn
	})
	if err != nil {
		return err
	}
	defer db.Close()
	outbox, err := pubstore.OpenBoltIn(db, "outbox", pubstore.BoltOptions{MaxMessages: maxOutstanding})
	if err != nil {
		return err
	}
	defer outbox.Close()
	marks, err := bookmarkstore.OpenBoltIn(db, "marks", bookmarkstore.BoltOptions{})
	if err != nil {
		return err
	}
	defer marks.Close()
	t.Opened()
	c, err := client.Dial(ctx, client.Config{
		Name: "billing", Servers: servers, PublishStore: outbox, BookmarkStore: marks,
		Hooks: client.Hooks{FailedWrite: func(e *client.RejectedError) { t.Unexpected(e) }},
	})
	if err != nil {
		return err
	}
	defer c.Close()
	t.Connected()
	a := &app{db: db, outbox: t.Outbox(outbox), marks: t.Bookmarks(marks), client: c, trial: t}
	return a.serve(ctx)
}

// serve handles orders until ctx ends.
func (a *app) serve(ctx context.Context) error {
	sub, err := a.client.Subscribe(ctx, "orders", client.From(client.MostRecent), client.ID("orders"))
	if err != nil {
		return err
	}
	a.trial.Subscribed()
	err = sub.Handle(ctx, func(m *client.Message) error { return a.handleOnce(ctx, m) })
	if ctx.Err() == nil {
		return err
	}
	flush, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return a.client.FlushSafe(flush)
}

// handleOnce handles an order until its transaction has committed. It repeats a
// transaction that was given up or that found the publish store full.
func (a *app) handleOnce(ctx context.Context, m *client.Message) error {
	a.trial.Received(m.Body)
	for {
		err := a.handle(m)
		switch {
		case err == nil:
			return a.done(ctx)
		case a.trial.GaveUp(err):
		case errors.Is(err, pubstore.ErrFull):
			a.trial.Full()
			if err := a.outbox.AwaitRoom(ctx, maxInvoice); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// done waits for the acks if the trial asks for that.
func (a *app) done(ctx context.Context) error {
	if !a.trial.Done() {
		return nil
	}
	if err := a.client.Flush(ctx); err != nil {
		return err
	}
	a.trial.Acknowledged()
	return nil
}
