package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
)

func process([]byte) error { return nil }

// A client of a pair of servers. With the default stores, in memory, no message is lost while the
// process lives.
func ExampleDial() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{
		Name:    "order-gateway",
		Servers: []string{"tcp://a:9007/amps/json", "tcp://b:9007/amps/json"},
		Hooks: client.Hooks{
			FailedWrite: func(e *client.RejectedError) { log.Print(e) },
			Downgraded:  func(d bool) { log.Printf("one server only: %v", d) },
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
}

// Publish returns when the message is in the store. Flush returns when the servers have it.
func ExampleClient_Publish() {
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Config{Servers: []string{"tcp://a:9007/amps/json"}})
	if err != nil {
		log.Fatal(err)
	}
	for i := range 1000 {
		if _, err := c.Publish(ctx, "orders", fmt.Appendf(nil, `{"id":%d}`, i)); err != nil {
			log.Fatal(err)
		}
	}
	flushCtx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var pending *client.PendingError
	if err := c.Flush(flushCtx); errors.As(err, &pending) {
		log.Printf("%d messages are still on their way", pending.Messages)
	}
	if err := c.Drain(ctx); err != nil {
		log.Fatal(err)
	}
}

func ExampleClient_PublishMessage() {
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Config{Servers: []string{"tcp://a:9007/amps/json"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	_, err = c.PublishMessage(ctx, &pubstore.Message{
		Topic:         "orders",
		Body:          []byte(`{"id":1}`),
		CorrelationID: "cmVxLTE=",
		Expiration:    time.Hour,
	})
	if errors.Is(err, pubstore.ErrFull) {
		log.Print("the servers do not keep up")
	}
}

// Leaving the loop pauses the subscription. The next loop continues after the last message.
func ExampleSubscription_Messages() {
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Config{Name: "billing", Servers: []string{"tcp://a:9007/amps/json"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	sub, err := c.Subscribe(ctx, "orders", client.From(client.MostRecent), client.ID("billing"))
	if err != nil {
		log.Fatal(err)
	}
	for m, err := range sub.Messages(ctx) {
		var gap *client.GapError
		if errors.As(err, &gap) {
			log.Fatalf("lost: %v", gap.Gaps)
		}
		if err != nil {
			log.Fatal(err)
		}
		if err := process(m.Body); err == nil {
			m.Discard() // otherwise the message comes again after a restart
		}
	}
}

// Handle discards each message for which the function returns nil.
func ExampleSubscription_Handle() {
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Config{Servers: []string{"tcp://a:9007/amps/json"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	sub, err := c.Subscribe(ctx, "prices", client.WhenSlow(client.SlowDropOldest()))
	if err != nil {
		log.Fatal(err)
	}
	err = sub.Handle(ctx, func(m *client.Message) error { return process(m.Body) })
	log.Print(err)
}

// Messages that other goroutines process are discarded by reference, from any goroutine and in any
// order.
func ExampleMessage_Ref() {
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Config{Servers: []string{"tcp://a:9007/amps/json"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	sub, err := c.Subscribe(ctx, "orders", client.From(client.Epoch))
	if err != nil {
		log.Fatal(err)
	}
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		clone := m.Clone() // m is valid only until the next turn
		go func() {
			if process(clone.Body) == nil {
				c.Discard(clone.Ref())
			}
		}()
	}
}

// A command of the protocol for which the client has no method.
func ExampleClient_Execute() {
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Config{Servers: []string{"tcp://a:9007/amps/json"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for r, err := range c.Execute(ctx, client.Command{Name: "sow", Topic: "orders", Filter: "/total > 100"}) {
		if err != nil {
			log.Fatal(err)
		}
		if r.Kind == client.ReplyRecord {
			fmt.Println(r.SOWKey, string(r.Body))
		}
	}
}
