// Command quickstart publishes ten messages to a pair of servers, waits until both
// servers have them on disk, and reads them back. It starts the pair by itself.
package main

import (
	"context"
	"fmt"
	"log"
	"path/filepath"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/rig"
	"github.com/holdfast-mq/holdfast/pubstore"
)

func main() {
	if err := rig.WithPair(context.Background(), run); err != nil {
		log.Fatal(err)
	}
}

// run is the part to copy.
func run(ctx context.Context, dir string, servers []string) error {
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
