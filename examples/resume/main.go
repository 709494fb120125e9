// Command resume shows a subscriber that resumes where it left off. Its first run
// receives five of ten messages and discards all but one of them. Its second run
// gets that one again, and then the other five.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "holdfast-resume-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := server.Start(server.Config{
		Name: "alone", Data: filepath.Join(dir, "journal"), Clients: server.Endpoint{Listen: "127.0.0.1:0"},
	})
	if err != nil {
		return err
	}
	defer s.Close()
	uri := "tcp://" + s.Addr().String() + "/amps/json"
	if err := publish(ctx, uri); err != nil {
		return err
	}
	fmt.Println("first life: takes five, leaves 3 undone")
	if err := live(ctx, uri, dir, 5, `{"n":3}`); err != nil {
		return err
	}
	fmt.Println("second life: gets 3 again, then the rest")
	return live(ctx, uri, dir, 6, "")
}

// publish publishes ten messages.
func publish(ctx context.Context, uri string) error {
	c, err := client.Dial(ctx, client.Config{Name: "publisher", Servers: []string{uri}})
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

// live is one run of the subscriber. It receives a number of messages and discards each
// of them, except the one whose body is undone.
func live(ctx context.Context, uri, dir string, messages int, undone string) error {
	marks, err := bookmarkstore.OpenBolt(filepath.Join(dir, "marks.db"), bookmarkstore.BoltOptions{})
	if err != nil {
		return err
	}
	defer marks.Close()
	c, err := client.Dial(ctx, client.Config{Name: "subscriber", Servers: []string{uri}, BookmarkStore: marks})
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
		if string(m.Body) != undone {
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
