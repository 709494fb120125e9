package client_test

import (
	"context"
	"net"
	"testing"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// BenchmarkPublish is the client's own cost of a publish of 100 bytes, with a
// store in memory and a server that acknowledges at once.
func BenchmarkPublish(b *testing.B) {
	n := memnet.New()
	c := benchClient(b, n, func(nc net.Conn, r *wire.Reader) {
		var m wire.Message
		var out []byte
		for {
			f, err := r.Next()
			if err != nil || wire.Parse(f, &m) != nil {
				return
			}
			if m.Command == wire.Publish && r.Buffered() == 0 {
				a := wire.AckMessage{Type: wire.AckPersisted, Success: true, Sequence: m.Sequence, HasSequence: true}
				out = a.AppendTo(out[:0])
				nc.Write(out)
			}
		}
	})
	body := make([]byte, 100)
	b.SetBytes(100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Publish(context.Background(), "orders", body); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkReceive is the client's own cost of a message of 100 bytes on a
// bookmark subscription, discarded.
func BenchmarkReceive(b *testing.B) {
	n := memnet.New()
	c := benchClient(b, n, func(nc net.Conn, r *wire.Reader) {
		var m wire.Message
		for m.Command != wire.Subscribe {
			f, err := r.Next()
			if err != nil || wire.Parse(f, &m) != nil {
				return
			}
		}
		go drainConn(nc)
		id := string(m.CommandID)
		a := wire.AckMessage{CommandID: id, Type: wire.AckProcessed, Success: true, Bookmark: "0"}
		out := a.AppendTo(nil)
		d := wire.Delivery{Topic: []byte("orders"), SubIDs: []byte(id), Body: make([]byte, 100)}
		d.Bookmark.Publisher = 5
		for {
			for range 256 {
				d.Bookmark.Sequence++
				out = d.AppendTo(out)
			}
			if _, err := nc.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
	})
	sub, err := c.Subscribe(context.Background(), "orders", client.From(client.Epoch))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(100)
	b.ReportAllocs()
	left := b.N
	b.ResetTimer()
	for m, err := range sub.Messages(context.Background()) {
		if err != nil {
			b.Fatal(err)
		}
		m.Discard()
		if left--; left <= 0 {
			break
		}
	}
}

func benchClient(b *testing.B, n *memnet.Network, serve func(net.Conn, *wire.Reader)) *client.Client {
	b.Helper()
	n.SetBuffer(1 << 20)
	ln, err := n.Listen("a:9007")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		r := wire.NewReader(nc, 1<<20)
		if _, err := r.Next(); err != nil {
			return
		}
		a := wire.AckMessage{CommandID: "0", ClientName: "me", Type: wire.AckProcessed, Success: true, HasSequence: true, Ext: true, Max: limit}
		nc.Write(a.AppendTo(nil))
		serve(nc, r)
	}()
	cfg := config(n, "a")
	cfg.Offline = false
	cfg.QueueMessages = 1 << 20 // what does not fit would be asked for again
	cfg.QueueBytes = 1 << 30
	c, err := client.Dial(context.Background(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		c.Close()
		ln.Close()
		<-done
	})
	return c
}
