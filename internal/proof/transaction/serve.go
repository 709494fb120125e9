package transaction

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// maxOutstanding is the bound of the publish store in messages. It is low, so that the
// store gets full while an instance is away.
const maxOutstanding = 48

// maxInvoice is an upper bound for the size of an invoice in bytes.
const maxInvoice = 1 << 10

// handleOrders is the application's process: it opens the database with both stores,
// connects, and handles orders until ctx ends. It reports each step to the trial.
func (a App) handleOrders(ctx context.Context, database string, servers []string, t *trial) error {
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
	bookmarks, err := bookmarkstore.OpenBoltIn(db, "bookmarks", bookmarkstore.BoltOptions{})
	if err != nil {
		return err
	}
	defer bookmarks.Close()
	t.reach(opened)
	c, err := client.Dial(ctx, client.Config{
		Name: "billing", Servers: servers, PublishStore: outbox, BookmarkStore: bookmarks,
		Hooks: client.Hooks{FailedWrite: func(e *client.RejectedError) { t.unexpected(e) }},
	})
	if err != nil {
		return err
	}
	defer c.Close()
	t.reach(connected)
	o := &orderLoop{trial: t, client: c, outbox: outbox, handle: a.Handler(db, &TrialOutbox{outbox, t}, &TrialBookmarks{bookmarks, t})}
	return o.run(ctx)
}

// An orderLoop hands orders to the application's handler.
type orderLoop struct {
	trial  *trial
	client *client.Client
	outbox *pubstore.Bolt
	handle func(*client.Message) error
}

// run handles orders until ctx ends.
func (o *orderLoop) run(ctx context.Context) error {
	sub, err := o.client.Subscribe(ctx, "orders", client.From(client.MostRecent), client.ID("orders"))
	if err != nil {
		return err
	}
	o.trial.reach(subscribed)
	err = sub.Handle(ctx, func(m *client.Message) error { return o.handleOrder(ctx, m) })
	if ctx.Err() == nil {
		return err
	}
	flush, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return o.client.FlushSafe(flush)
}

// handleOrder handles an order until its transaction has committed. It repeats a
// transaction that was rolled back or that found the publish store full.
func (o *orderLoop) handleOrder(ctx context.Context, m *client.Message) error {
	o.trial.received(m.Body)
	for {
		err := o.handle(m)
		switch {
		case err == nil:
			return o.done(ctx)
		case o.trial.rolledBack(err):
		case errors.Is(err, pubstore.ErrFull):
			o.trial.full()
			if err := o.outbox.AwaitRoom(ctx, maxInvoice); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// done waits for the acks if the trial asks for that.
func (o *orderLoop) done(ctx context.Context) error {
	if !o.trial.done() {
		return nil
	}
	if err := o.client.Flush(ctx); err != nil {
		return err
	}
	o.trial.reach(settled)
	return nil
}
