package client_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// The hook FailedWrite is called once for each message that the servers reject. The publish store
// keeps the message until the hook returns. Later messages are still delivered. The servers
// of this example log only the topic orders.
func ExampleHooks_failedWrite() {
	pair := newExamplePair(servertest.Config(func(c *server.Config) { c.Log.Topics = []string{"orders"} }))
	defer pair.end()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	rejected := make(chan *client.RejectedError, 100)
	c, err := client.Dial(ctx, client.Config{
		Name:    "order-gateway",
		Servers: pair.servers,
		Dial:    pair.Dial,
		Hooks: client.Hooks{
			FailedWrite: func(e *client.RejectedError) {
				select {
				case rejected <- e: // passed on to another goroutine
				default: // a hook must not block
					log.Print(e)
				}
			},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	for _, topic := range []string{"orders", "ordres", "orders"} {
		if _, err := c.Publish(ctx, topic, []byte("two bolts")); err != nil {
			log.Fatal(err) // the message is not in the store; a rejection comes later
		}
	}
	if err := c.Flush(ctx); err != nil { // all messages are settled, or rejected and reported
		log.Fatal(err)
	}
	e := <-rejected
	fmt.Printf("message %d to %s, %q: %s\n", e.Message.Sequence, e.Message.Topic, e.Message.Body, e.Reason)
	fmt.Println("rejected:", c.Stats().Publish.Rejected, "- logged:", len(pair.A.Messages("orders")))
	// Output:
	// message 2 to ordres, "two bolts": invalid topic
	// rejected: 1 - logged: 2
}
