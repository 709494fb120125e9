package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// An application keeps its publish store and its bookmark store in its own database. It consumes,
// changes its data and publishes in one transaction. So each order gets one invoice, and the
// invoices are numbered without gaps, even if processes or servers die. Here a transaction is
// rolled back and the process ends; the next process continues on the other server. The command
// examples/transaction shows the same with kill -9 at every step.
func ExampleConfig_transaction() {
	pair := newExamplePair()
	defer pair.end()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	publishOrders(ctx, pair, 4)

	// bill stands for one process: it handles some orders, or fails at one.
	bill := func(orders int, failing string) error {
		db, err := bbolt.Open(pair.path("billing.db"), 0o600, nil)
		if err != nil {
			return err
		}
		defer db.Close()
		outbox, err := pubstore.OpenBoltIn(db, "outbox", pubstore.BoltOptions{})
		if err != nil {
			return err
		}
		defer outbox.Close()
		bookmarks, err := bookmarkstore.OpenBoltIn(db, "bookmarks", bookmarkstore.BoltOptions{})
		if err != nil {
			return err
		}
		defer bookmarks.Close()
		c, err := client.Dial(ctx, client.Config{
			Name: "billing", Servers: pair.servers, PublishStore: outbox, BookmarkStore: bookmarks, Dial: pair.Dial,
		})
		if err != nil {
			return err
		}
		defer c.Close()
		sub, err := c.Subscribe(ctx, "orders", client.From(client.MostRecent), client.ID("orders"))
		if err != nil {
			return err
		}

		handle := func(m *client.Message) error {
			return db.Update(func(tx *bbolt.Tx) error {
				invoices, err := tx.CreateBucketIfNotExists([]byte("invoices"))
				if err != nil {
					return err
				}
				number, err := invoices.NextSequence() // the application's own data
				if err != nil {
					return err
				}
				body := fmt.Appendf(nil, `{"number":%d,"order":%s}`, number, m.Body)
				if _, err := outbox.AppendTx(tx, "invoices", body); err != nil {
					return err // on pubstore.ErrFull call outbox.AwaitRoom, then start again
				}
				if err := bookmarks.DiscardTx(tx, m.Ref()); err != nil {
					return err
				}
				if string(m.Body) == failing {
					return errors.New("out of paper") // the transaction has no effect
				}
				return nil
			})
		}
		for m, err := range sub.Messages(ctx) {
			if err == nil {
				err = handle(m)
			}
			if err != nil {
				return err
			}
			if orders--; orders == 0 {
				break
			}
		}
		return c.FlushSafe(ctx)
	}

	fmt.Println(bill(4, `{"id":3}`))
	pair.A.Kill()
	pair.A.Restart()
	fmt.Println(bill(2, ""))
	for _, m := range pair.B.Messages("invoices") {
		fmt.Printf("%s\n", m.Body)
	}
	// Output:
	// out of paper
	// <nil>
	// {"number":1,"order":{"id":1}}
	// {"number":2,"order":{"id":2}}
	// {"number":3,"order":{"id":3}}
	// {"number":4,"order":{"id":4}}
}
