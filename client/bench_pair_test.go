package client_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// BenchmarkPair measures the whole cost of a message of 256 bytes, from Publish to the ack for two
// disks. The publisher, with a File store, and both instances are in one process, on the loopback
// interface and real files.
func BenchmarkPair(b *testing.B) {
	p := servertest.NewPair(b, servertest.Real())
	store, err := pubstore.OpenFile(filepath.Join(b.TempDir(), "store"), pubstore.FileOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	cfg := p.Client("bench")
	cfg.PublishStore = store
	c, err := client.Dial(context.Background(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	body := make([]byte, 256)
	for i := range body {
		body[i] = 'x'
	}
	b.SetBytes(256)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Publish(context.Background(), "orders", body); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.FlushSafe(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkReplay measures the whole cost of a message of 256 bytes, from the journal of an
// instance to a handler that discards it, on the loopback interface.
func BenchmarkReplay(b *testing.B) {
	s := servertest.New(b, servertest.Real())
	ctx := context.Background()
	p, err := client.Dial(ctx, s.Client("publisher"))
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	body := make([]byte, 256)
	for range b.N {
		if _, err := p.Publish(ctx, "orders", body); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Flush(ctx); err != nil {
		b.Fatal(err)
	}
	c, err := client.Dial(ctx, s.Client("subscriber"))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.SetBytes(256)
	b.ReportAllocs()
	b.ResetTimer()
	sub, err := c.Subscribe(ctx, "orders", client.From(client.Epoch))
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			b.Fatal(err)
		}
		m.Discard()
		if n++; n == b.N {
			b.ReportMetric(float64(sub.Stats().Pauses), "overruns")
			return
		}
	}
}
