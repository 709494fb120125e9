package client_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
)

// A subscription with an ID and a bookmark store on disk goes on where the
// process before it left off, here on the other server: what was not discarded
// comes again, and only that.
func ExampleFrom_resume() {
	pair := newExamplePair()
	defer pair.end()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	publishOrders(ctx, pair, 5)

	// bill is one life of the process: it takes some messages and leaves one undone.
	bill := func(messages int, undone string) {
		marks, err := bookmarkstore.OpenBolt(pair.path("marks.db"), bookmarkstore.BoltOptions{})
		if err != nil {
			log.Fatal(err)
		}
		defer marks.Close()
		c, err := client.Dial(ctx, client.Config{
			Name:      "billing",
			Servers:   pair.servers,
			Bookmarks: marks,
			Dial:      pair.Dial,
		})
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()

		// Nothing is kept under the ID at first: then it begins at Epoch.
		sub, err := c.Subscribe(ctx, "orders", client.From(client.MostRecent), client.ID("orders"))
		if err != nil {
			log.Fatal(err)
		}
		for m, err := range sub.Messages(ctx) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Printf("%s\n", m.Data)
			if string(m.Data) != undone {
				if err := m.Discard(); err != nil {
					log.Fatal(err)
				}
			}
			if messages--; messages == 0 {
				return
			}
		}
	}

	bill(3, `{"id":2}`)
	pair.A.Kill()
	fmt.Println("restarted")
	bill(3, "")
	// Output:
	// {"id":1}
	// {"id":2}
	// {"id":3}
	// restarted
	// {"id":2}
	// {"id":4}
	// {"id":5}
}
