package client_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
)

// A subscription with an ID and a bookmark store on disk continues where the previous process
// stopped, here on the other server. Only the undiscarded messages come again.
func ExampleFrom_resume() {
	pair := newExamplePair()
	defer pair.end()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	publishOrders(ctx, pair, 5)

	// bill stands for one process: it handles some messages and leaves one undiscarded.
	bill := func(messages int, undiscarded string) {
		bookmarks, err := bookmarkstore.OpenBolt(pair.path("bookmarks.db"), bookmarkstore.BoltOptions{})
		if err != nil {
			log.Fatal(err)
		}
		defer bookmarks.Close()
		c, err := client.Dial(ctx, client.Config{
			Name:          "billing",
			Servers:       pair.servers,
			BookmarkStore: bookmarks,
			Dial:          pair.Dial,
		})
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()

		// The first time no place is stored under the ID, so the subscription begins at Epoch.
		sub, err := c.Subscribe(ctx, "orders", client.From(client.MostRecent), client.ID("orders"))
		if err != nil {
			log.Fatal(err)
		}
		for m, err := range sub.Messages(ctx) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Printf("%s\n", m.Body)
			if string(m.Body) != undiscarded {
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
