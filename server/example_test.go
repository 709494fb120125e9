package server_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server"
)

// A program starts a lone instance, publishes a message to it and stops it.
func Example() {
	data, err := os.MkdirTemp("", "journal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(data)
	s, err := server.Start(server.Config{
		Name:    "alone",
		Data:    data,
		Clients: server.ClientPort{Listen: "127.0.0.1:0"}, // a free port
	})
	if err != nil {
		log.Fatal(err)
	}
	select {
	case <-s.Ready():
	case <-s.Done():
		log.Fatal(s.Err())
	}

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{Servers: []string{"tcp://" + s.Addr().String() + "/amps/json"}})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := c.Publish(ctx, "orders", []byte(`{"id":1}`)); err != nil {
		log.Fatal(err)
	}
	if err := c.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	status := s.Status()
	fmt.Println(status.Sync, status.Published)

	if err := s.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: alone 1
}
