package client_test

import (
	"context"
	"fmt"
	"log"
	"path/filepath"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// An examplePair is the environment of an Example: a pair of servers with network and disks in
// memory, and a directory for the stores of clients.
type examplePair struct {
	*servertest.Pair
	servers []string
	dir     string
	t       servertest.Program
}

func newExamplePair(opts ...servertest.Option) *examplePair {
	p := new(examplePair)
	p.dir = p.t.TempDir()
	p.Pair = servertest.NewPair(&p.t, opts...)
	p.servers = p.Client("").Servers
	return p
}

func (p *examplePair) path(name string) string { return filepath.Join(p.dir, name) }

func (p *examplePair) start() {
	p.A.Restart()
	p.B.Restart()
	p.AwaitReady()
}

func (p *examplePair) end() { p.t.Close() }

// publishOrders publishes orders 1 to n and returns when both servers have them.
func publishOrders(ctx context.Context, pair *examplePair, n int) {
	c, err := client.Dial(ctx, client.Config{Servers: pair.servers, Dial: pair.Dial})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for id := 1; id <= n; id++ {
		if _, err := c.Publish(ctx, "orders", fmt.Appendf(nil, `{"id":%d}`, id)); err != nil {
			log.Fatal(err)
		}
	}
	if err := c.FlushSafe(ctx); err != nil {
		log.Fatal(err)
	}
}
