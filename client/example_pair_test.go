package client_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// An exampleT is what servertest wants and an Example does not have.
type exampleT struct {
	testing.TB // nil: servertest calls nothing else
	cleanups   []func()
}

func (t *exampleT) Helper()                           {}
func (t *exampleT) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) Fatal(args ...any)                 { log.Fatal(args...) }
func (t *exampleT) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }

// An examplePair is what an Example runs against: a pair of servers on a
// network and disks in memory, and a directory for the stores of clients.
type examplePair struct {
	*servertest.Pair
	servers []string
	dir     string
	t       exampleT
}

func newExamplePair(opts ...servertest.Option) *examplePair {
	p := new(examplePair)
	dir, err := os.MkdirTemp("", "holdfast-example-")
	if err != nil {
		log.Fatal(err)
	}
	p.dir = dir
	p.Pair = servertest.NewPair(&p.t, opts...)
	for _, addr := range p.Addrs() {
		p.servers = append(p.servers, "tcp://"+addr+"/amps/json")
	}
	return p
}

// dial is for client.Config.Dial.
func (p *examplePair) dial(ctx context.Context, _, address string) (net.Conn, error) {
	return p.Dial(ctx, address)
}

func (p *examplePair) path(name string) string { return filepath.Join(p.dir, name) }

func (p *examplePair) start() {
	p.A.Restart()
	p.B.Restart()
	p.A.AwaitReady()
	p.B.AwaitReady()
}

func (p *examplePair) end() {
	for _, f := range slices.Backward(p.t.cleanups) {
		f()
	}
	os.RemoveAll(p.dir)
}

// publishOrders publishes orders 1 to n and returns when both servers have them.
func publishOrders(pair *examplePair, n int) {
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Config{Servers: pair.servers, Dial: pair.dial})
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
