package client_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// Headers travel with a message, and a Headers value may be used in many messages.
func ExampleHeaders() {
	pair := newExamplePair()
	defer pair.end()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{Name: "order-gateway", Servers: pair.servers, Dial: pair.Dial})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	var tenant client.Headers
	tenant.Set("tenant", "eu")
	for _, body := range []string{"two bolts", "a nut"} {
		m := &pubstore.Message{Topic: "orders", Body: []byte(body), Headers: tenant}
		m.Headers.Set("length", fmt.Sprint(len(body))) // tenant stays as it is
		if _, err := c.PublishMessage(ctx, m); err != nil {
			log.Fatal(err) // a *client.HeadersError if there are too many of them
		}
	}
	sub, err := c.Subscribe(ctx, "orders", client.From(client.Epoch))
	if err != nil {
		log.Fatal(err)
	}
	n := 0
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: tenant %s, length %s\n", m.Body, m.Headers.Get("tenant"), m.Headers.Get("length"))
		if n++; n == 2 {
			break
		}
	}
	// Output:
	// two bolts: tenant eu, length 9
	// a nut: tenant eu, length 5
}
