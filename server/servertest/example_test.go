package servertest_test

import (
	"context"
	"fmt"
	"log"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// This example shows a failover as a test of an application would cause it. In a
// test, t is its *testing.T, and errors end it with t.Fatal.
func Example() {
	t := new(servertest.Program) // an Example has no t
	defer t.Close()
	ctx := context.Background()

	pair := servertest.NewPair(t)
	c, err := client.Dial(ctx, pair.Client("order-gateway"))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	sub, err := c.Subscribe(ctx, "orders", client.From(client.Epoch))
	if err != nil {
		log.Fatal(err)
	}
	orders := 0
	for range 100 {
		if _, err := c.Publish(ctx, "orders", fmt.Append(nil, orders)); err != nil {
			log.Fatal(err)
		}
		if orders++; orders == 50 {
			pair.A.Kill() // the client goes on at B
		}
	}
	next := 0
	for m, err := range sub.Messages(ctx) {
		if err != nil || string(m.Body) != fmt.Sprint(next) {
			log.Fatalf("got %s (%v), want order %d", m.Body, err, next)
		}
		if next++; next == orders {
			break
		}
	}
	fmt.Println("every order arrived, once")

	pair.A.Restart()
	pair.AwaitConverged()
	fmt.Printf("b has %d orders, a has %d\n", len(pair.B.Messages("orders")), len(pair.A.Messages("orders")))
	// Output:
	// every order arrived, once
	// b has 100 orders, a has 100
}
