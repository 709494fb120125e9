package client_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/perf/budget"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// These benchmarks are the second half of B8: the cost of the client for its application, with a
// server that costs nothing.

// BenchmarkPublish measures publishes of 256 bytes, up to the ack that the last one is safe.
func BenchmarkPublish(b *testing.B) {
	for _, st := range []struct {
		name string
		open func(*testing.B) pubstore.Store
	}{
		{"Memory", func(*testing.B) pubstore.Store { return pubstore.NewMemory(pubstore.MemoryOptions{}) }},
		{"File", func(b *testing.B) pubstore.Store {
			s, err := pubstore.OpenFile(filepath.Join(b.TempDir(), "store"), pubstore.FileOptions{})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { s.Close() })
			return s
		}},
	} {
		b.Run(st.name, func(b *testing.B) {
			ctx, cancel := context.WithCancel(b.Context()) // with a cancelable context, as in applications
			defer cancel()
			c, _ := benchClient(b, func(cfg *client.Config) { cfg.PublishStore = st.open(b) })
			body := make([]byte, 256)
			b.SetBytes(256)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Publish(ctx, "orders", body); err != nil {
					b.Fatal(err)
				}
			}
			if err := c.Flush(ctx); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkReceive measures messages of 256 bytes on a bookmark subscription, from the connection
// to the discard.
func BenchmarkReceive(b *testing.B) {
	for _, st := range []struct {
		name string
		open func(*testing.B) bookmarkstore.Store
	}{
		{"Memory", func(*testing.B) bookmarkstore.Store { return bookmarkstore.NewMemory() }},
		{"Bolt", func(b *testing.B) bookmarkstore.Store {
			s, err := bookmarkstore.OpenBolt(filepath.Join(b.TempDir(), "marks.db"), bookmarkstore.BoltOptions{})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { s.Close() })
			return s
		}},
	} {
		b.Run(st.name, func(b *testing.B) {
			c, srv := benchClient(b, func(cfg *client.Config) { cfg.BookmarkStore = st.open(b) })
			sub, err := c.Subscribe(b.Context(), "orders", client.From(client.Epoch), client.ID("s"))
			if err != nil {
				b.Fatal(err)
			}
			srv.AwaitSubscribed()
			benchmarkReceive(b, srv, sub)
		})
	}
}

// benchmarkReceive receives from a server that is never more than two bursts ahead.
func benchmarkReceive(b *testing.B, srv *budget.StubServer, sub *client.Subscription) {
	const burst = 1000
	more, done := make(chan struct{}, 1), make(chan struct{})
	defer func() { close(more); <-done }()
	go func() {
		defer close(done)
		body := make([]byte, 256)
		srv.Deliver(burst, "orders", body)
		for range more {
			srv.Deliver(burst, "orders", body)
		}
	}()
	b.SetBytes(256)
	b.ReportAllocs()
	n := 0
	for m, err := range sub.Messages(b.Context()) {
		if err == nil {
			err = m.Discard()
		}
		if err != nil {
			b.Fatal(err)
		}
		if n++; n%burst == 1 {
			more <- struct{}{}
		}
		if !b.Loop() {
			break
		}
	}
}

// benchClient starts a client over a connection in memory. Its server costs nothing.
func benchClient(b *testing.B, change func(*client.Config)) (*client.Client, *budget.StubServer) {
	b.Helper()
	n := memnet.New()
	n.SetBuffer(1 << 20)
	ln, err := n.Listen("a:9007")
	if err != nil {
		b.Fatal(err)
	}
	srv := budget.NewStubServer(b, ln)
	cfg := config(n, "a")
	cfg.StartOffline = false
	cfg.QueueMessages = 1 << 20 // messages that do not fit would be requested again
	cfg.QueueBytes = 1 << 30
	change(&cfg)
	c, err := client.Dial(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c, srv
}
