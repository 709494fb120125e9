// Command resume shows a subscriber that resumes where it left off. Its first run
// receives five of ten messages and discards all but one of them. Its second run
// gets that one again, and then the other five. The command starts a pair of servers
// by itself.
package main

import (
	"context"
	"fmt"
	"log"
	"path/filepath"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/rig"
)

func main() {
	if err := rig.WithPair(context.Background(), run); err != nil {
		log.Fatal(err)
	}
}

// run publishes ten messages and runs the subscriber twice.
func run(ctx context.Context, dir string, servers []string) error {
	if err := publish(ctx, servers); err != nil {
		return err
	}
	database := filepath.Join(dir, "bookmarks.db")
	fmt.Println("first run: receives five, leaves 3 undiscarded")
	if err := subscribe(ctx, servers, database, 5, `{"n":3}`); err != nil {
		return err
	}
	fmt.Println("second run: receives 3 again, then the rest")
	return subscribe(ctx, servers, database, 6, "")
}

// subscribe is the part to copy: one run of the subscriber. It receives a number of
// messages and discards each of them, except the one whose body is undiscarded.
func subscribe(ctx context.Context, servers []string, database string, messages int, undiscarded string) error {
	bookmarks, err := bookmarkstore.OpenBolt(database, bookmarkstore.BoltOptions{})
	if err != nil {
		return err
	}
	defer bookmarks.Close()
	c, err := client.Dial(ctx, client.Config{Name: "subscriber", Servers: servers, BookmarkStore: bookmarks})
	if err != nil {
		return err
	}
	defer c.Close()
	sub, err := c.Subscribe(ctx, "orders", client.From(client.MostRecent), client.ID("orders"))
	if err != nil {
		return err
	}
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			return err
		}
		fmt.Printf("  %s\n", m.Body)
		if string(m.Body) != undiscarded {
			if err := m.Discard(); err != nil {
				return err
			}
		}
		if messages--; messages == 0 {
			break
		}
	}
	return nil
}

// publish publishes ten messages.
func publish(ctx context.Context, servers []string) error {
	c, err := client.Dial(ctx, client.Config{Name: "publisher", Servers: servers})
	if err != nil {
		return err
	}
	defer c.Close()
	for n := 1; n <= 10; n++ {
		if _, err := c.Publish(ctx, "orders", fmt.Appendf(nil, `{"n":%d}`, n)); err != nil {
			return err
		}
	}
	return c.FlushSafe(ctx)
}
