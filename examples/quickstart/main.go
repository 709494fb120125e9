// Command quickstart runs a pair of servers, a publisher and a subscriber in one
// process. It publishes ten messages, waits until both servers have them on disk,
// and reads them back.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "holdfast-quickstart-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	// The instances are equals: each replicates synchronously to the other. Only b
	// knows an address to dial; a waits for the connection of b.
	a, err := server.Start(instance("a", dir, server.Destination{Name: "b"}))
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := server.Start(instance("b", dir, server.Destination{Name: "a", Address: a.ReplicationAddr().String()}))
	if err != nil {
		return err
	}
	defer b.Close()
	servers := []string{"tcp://" + a.Addr().String() + "/amps/json", "tcp://" + b.Addr().String() + "/amps/json"}

	// The file store keeps each published message until both servers have it on disk.
	store, err := pubstore.OpenFile(filepath.Join(dir, "outbox"), pubstore.FileOptions{})
	if err != nil {
		return err
	}
	defer store.Close()
	c, err := client.Dial(ctx, client.Config{Name: "quickstart", Servers: servers, PublishStore: store})
	if err != nil {
		return err
	}
	defer c.Close()

	const messages = 10
	for n := 1; n <= messages; n++ {
		if _, err := c.Publish(ctx, "greetings", fmt.Appendf(nil, `{"hello":%d}`, n)); err != nil {
			return err
		}
	}
	if err := c.FlushSafe(ctx); err != nil {
		return err
	}
	fmt.Println("ten messages are on two disks")

	sub, err := c.Subscribe(ctx, "greetings", client.From(client.Epoch))
	if err != nil {
		return err
	}
	left := messages
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("%s %s\n", m.Bookmark, m.Body)
		if err := m.Discard(); err != nil {
			return err
		}
		if left--; left == 0 {
			break
		}
	}
	return nil
}

func instance(name, dir string, peer server.Destination) server.Config {
	return server.Config{
		Name: name, Group: "pair", Data: filepath.Join(dir, name),
		Clients: server.Endpoint{Listen: "127.0.0.1:0"},
		Replication: &server.Replication{
			Listen:       "127.0.0.1:0",
			Destinations: []server.Destination{peer},
		},
		RejoinTimeout: server.Duration(time.Second),
	}
}
