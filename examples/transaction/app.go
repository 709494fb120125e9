package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// asApp is the first argument of the process that is the application; its
// death, the database and the servers follow.
const asApp = "application"

// An app turns orders into invoices. Its accounts, its publish store and its
// bookmark store are in one database.
type app struct {
	db     *bbolt.DB
	outbox interface { // a *pubstore.Bolt
		AppendTx(tx *bbolt.Tx, topic string, body []byte) (uint64, error)
		AwaitRoom(ctx context.Context, size int) error
	}
	marks interface { // a *bookmarkstore.Bolt
		DiscardTx(tx *bbolt.Tx, m bookmarkstore.Mark) error
	}
	client *client.Client
	trial  *trial
}

// maxOutstanding is the bound of the publish store: low, so that it is reached
// while an instance is away.
const maxOutstanding = 48

// maxInvoice is more than an invoice has in bytes.
const maxInvoice = 1 << 10

// beTheApp is the application's process. It ends in order when its standard
// input does. On standard output it says what happens to it.
func beTheApp(args []string) error {
	flags := flag.NewFlagSet(asApp, flag.ContinueOnError)
	text := flags.String("die", "", "step:passage:percent at which the process kills itself")
	if err := flags.Parse(args); err != nil {
		return err
	}
	d, err := parseDeath(*text)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return run(ctx, flags.Arg(0), flags.Args()[1:], &trial{death: d})
}

// run opens the database with all that is in it, and serves until ctx ends.
func run(ctx context.Context, database string, servers []string, t *trial) error {
	db, err := bbolt.Open(database, 0o600, &bbolt.Options{Timeout: time.Minute})
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
	t.pass(opened)
	c, err := client.Dial(ctx, client.Config{
		Name: "billing", Servers: servers, Publishes: outbox, Bookmarks: marks,
		Hooks: client.Hooks{FailedWrite: func(e *client.RejectedError) { fmt.Println("trouble", e) }},
	})
	if err != nil {
		return err
	}
	defer c.Close()
	t.pass(connected)
	a := &app{db: db, outbox: triedOutbox{outbox, t}, marks: triedMarks{marks, t}, client: c, trial: t}
	return a.serve(ctx)
}

// serve handles orders until ctx ends.
func (a *app) serve(ctx context.Context) error {
	sub, err := a.client.Subscribe(ctx, "orders", client.From(client.MostRecent), client.ID("orders"))
	if err != nil {
		return err
	}
	a.trial.pass(subscribed)
	err = sub.Handle(ctx, func(m *client.Message) error { return a.handleOnce(ctx, m) })
	if ctx.Err() == nil {
		return err
	}
	flush, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return a.client.FlushSafe(flush)
}

// handleOnce has an order handled in a transaction that commits: one that met a
// full publish store, or that was given up, is done again.
func (a *app) handleOnce(ctx context.Context, m *client.Message) error {
	fmt.Printf("order %s\n", m.Data)
	a.trial.pass(received)
	for {
		err := a.handle(m)
		switch {
		case err == nil:
			fmt.Println("done")
			return a.settle(ctx)
		case errors.Is(err, errGivenUp):
			a.trial.pass(rolledBack)
		case errors.Is(err, pubstore.ErrFull):
			fmt.Println("full")
			if err := a.outbox.AwaitRoom(ctx, maxInvoice); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// settle waits for the ack, if the process is to die behind it.
func (a *app) settle(ctx context.Context) error {
	if a.trial.step != settled {
		return nil
	}
	if err := a.client.Flush(ctx); err != nil {
		return err
	}
	a.trial.pass(settled)
	return nil
}
