package client_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// With a store on disk, a message that Publish has accepted is delivered once, even if servers or
// the process die in between. Here no server runs while three messages are published, and another
// process sends them.
func ExampleConfig_store() {
	pair := newExamplePair(servertest.Unstarted())
	defer pair.end()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	open := func() (*client.Client, *pubstore.File) {
		store, err := pubstore.OpenFile(pair.path("outbox"), pubstore.FileOptions{})
		if err != nil {
			log.Fatal(err)
		}
		c, err := client.Dial(ctx, client.Config{
			Name:         "order-gateway",
			Servers:      pair.servers,
			PublishStore: store,
			StartOffline: true, // do not wait for a server
			Dial:         pair.Dial,
		})
		if err != nil {
			log.Fatal(err)
		}
		return c, store
	}

	c, store := open()
	for id := 1; id <= 3; id++ {
		if _, err := c.Publish(ctx, "orders", fmt.Appendf(nil, `{"id":%d}`, id)); err != nil {
			log.Fatal(err) // the message is not in the store
		}
	}
	fmt.Println("no server, kept:", c.Stats().Publish.Outstanding.Messages)
	c.Close()
	store.Close()

	pair.start()
	c, store = open()
	defer store.Close()
	defer c.Close()
	if err := c.FlushSafe(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("on both disks, kept:", c.Stats().Publish.Outstanding.Messages)
	for _, m := range pair.B.Messages("orders") {
		fmt.Printf("%s\n", m.Body)
	}
	// Output:
	// no server, kept: 3
	// on both disks, kept: 0
	// {"id":1}
	// {"id":2}
	// {"id":3}
}
