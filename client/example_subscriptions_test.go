package client_test

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/client"
)

// A client can have any number of subscriptions. Each is read by a loop on its own goroutine of the
// application. They are independent of each other, and Drain lets all of them finish.
func ExampleClient_Subscribe() {
	pair := newExamplePair()
	defer pair.end()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{Name: "dashboard", Servers: pair.servers, Dial: pair.Dial})
	if err != nil {
		log.Fatal(err)
	}

	// All orders from the start of the server's log, none missed or repeated.
	orders, err := c.Subscribe(ctx, "orders", client.From(client.Epoch))
	if err != nil {
		log.Fatal(err)
	}
	// Prices of all markets, by a pattern: only new messages, and only the latest ones if the loop
	// is slow.
	prices, err := c.Subscribe(ctx, `^prices\.`, client.WhenSlow(client.SlowDropOldest()))
	if err != nil {
		log.Fatal(err)
	}

	var loops sync.WaitGroup
	printed := make(chan struct{}, 4)
	for _, sub := range []*client.Subscription{orders, prices} {
		loops.Go(func() {
			err := sub.Handle(ctx, func(m *client.Message) error {
				fmt.Printf("%s: %s\n", m.Topic, m.Body)
				printed <- struct{}{}
				return nil
			})
			if err != nil {
				log.Print(err)
			}
		})
	}

	for _, m := range []struct{ topic, body string }{
		{"orders", "1 bolt"}, {"prices.oslo", "bolt 3.10"}, {"prices.rome", "bolt 2.95"}, {"orders", "2 nuts"},
	} {
		if _, err := c.Publish(ctx, m.topic, []byte(m.body)); err != nil {
			log.Fatal(err)
		}
	}
	for range 4 {
		<-printed
	}
	if err := c.Drain(ctx); err != nil { // ends the loops
		log.Fatal(err)
	}
	loops.Wait()
	// Unordered output:
	// orders: 1 bolt
	// orders: 2 nuts
	// prices.oslo: bolt 3.10
	// prices.rome: bolt 2.95
}
