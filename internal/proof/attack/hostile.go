package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A hostile server takes connections and answers each command as it likes.
type hostile struct {
	name   string
	answer func(c *raw, m *wire.Message) error

	listener net.Listener
	logons   atomic.Int64
	ended    []error // why subscriptions ended; of receive
	running  sync.WaitGroup
}

// hostiles returns the servers that a client is tried with.
func hostiles() []*hostile {
	return []*hostile{
		{name: "rollback", answer: func(c *raw, m *wire.Message) error {
			return c.send(&wire.AckMessage{
				CommandID: string(m.CommandID), ClientName: "x", Type: wire.AckProcessed, Success: true, HasSequence: true,
				Bookmark: "1|1|", Version: "5.3.0.0", Ext: true, Have: bookmark.MaxSequence, Max: 1 << 20, Instance: "h",
			})
		}},
		{name: "counts", answer: func(c *raw, m *wire.Message) error {
			return c.send(&wire.AckMessage{
				CommandID: string(m.CommandID), ClientName: "x", Type: wire.AckProcessed, Success: true, HasSequence: true,
				Sequence: bookmark.MaxSequence, Bookmark: "1|1|", Version: "5.3.0.0",
			})
		}},
		{name: "marks", answer: manyMarks},
	}
}

// manyMarks accepts all, and sends a subscription marks of a million publishers.
func manyMarks(c *raw, m *wire.Message) error {
	switch m.Command {
	case wire.Logon:
		return c.send(&wire.AckMessage{
			CommandID: string(m.CommandID), ClientName: "x", Type: wire.AckProcessed, Success: true, HasSequence: true,
			Bookmark: "1|1|", Version: "5.3.0.0", Ext: true, Max: 1 << 20, Instance: "h",
		})
	case wire.Subscribe:
		if err := c.send(&wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Success: true, SubID: string(m.SubID)}); err != nil {
			return err
		}
		for next := uint64(1); next < 1_200_000; {
			var v []byte
			for range 10_000 {
				v = append(bookmark.Bookmark{Publisher: next << 20, Sequence: 1}.AppendText(v), ',')
				next++
			}
			if err := c.send(&wire.AckMessage{Type: wire.AckPersisted, Success: true, SubID: string(m.SubID), Bookmark: string(v[:len(v)-1])}); err != nil {
				return err
			}
		}
	}
	return nil
}

// listen takes connections until close.
func (h *hostile) listen() (uri string, err error) {
	if h.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return "", err
	}
	h.running.Go(func() {
		for {
			conn, err := h.listener.Accept()
			if err != nil {
				return
			}
			h.running.Go(func() { h.serve(conn) })
		}
	})
	return "tcp://" + h.listener.Addr().String() + "/amps/json", nil
}

func (h *hostile) serve(conn net.Conn) {
	defer conn.Close()
	c := &raw{conn, wire.NewReader(conn, 1<<20)}
	if c.SetDeadline(time.Now().Add(2*hostileTime)) != nil {
		return
	}
	for {
		b, err := c.r.Next()
		var m wire.Message
		if err != nil || wire.Parse(b, &m) != nil {
			return
		}
		if m.Command == wire.Logon {
			h.logons.Add(1)
		}
		if h.answer(c, &m) != nil {
			return
		}
	}
}

func (h *hostile) close() {
	h.listener.Close()
	h.running.Wait()
}

const (
	hostileTime     = 10 * time.Second
	maxLogons       = 40 // within hostileTime, of a client that backs off
	hostileMessages = 200
)

// hostileServers has a client work with each hostile server and the pair in its list.
func hostileServers(ctx context.Context, dir string, servers []string) (passed bool, err error) {
	passed = true
	for _, h := range hostiles() {
		received, err := h.runBeside(ctx, dir, servers)
		if err != nil {
			return false, fmt.Errorf("beside the hostile server %s: %w", h.name, err)
		}
		fmt.Printf("%-8s %d of %d messages published and received, %d logons in %v, %d subscriptions ended\n",
			h.name, received, hostileMessages, h.logons.Load(), hostileTime, len(h.ended))
		if len(h.ended) > 0 {
			fmt.Printf("%-8s the last one: %v\n", "", h.ended[len(h.ended)-1])
		}
		passed = passed && received == hostileMessages && h.logons.Load() <= maxLogons && h.logons.Load() > 0
	}
	return passed, nil
}

// runBeside publishes and subscribes with the hostile server in the list, for
// hostileTime, and returns how many messages came.
func (h *hostile) runBeside(ctx context.Context, dir string, servers []string) (received int, err error) {
	uri, err := h.listen()
	if err != nil {
		return 0, err
	}
	defer h.close()
	marks, err := bookmarkstore.OpenBolt(filepath.Join(dir, "marks-"+h.name), bookmarkstore.BoltOptions{})
	if err != nil {
		return 0, err
	}
	defer marks.Close()
	c, err := client.Dial(ctx, client.Config{
		Name: "beside-" + h.name, Servers: append([]string{uri}, servers...),
		PublishStore: pubstore.NewMemory(pubstore.MemoryOptions{}), BookmarkStore: marks,
	})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	messages := "beside-" + h.name
	ctx, cancel := context.WithTimeoutCause(ctx, 2*hostileTime+patience, fmt.Errorf("not done within %v", 2*hostileTime+patience))
	defer cancel()
	type result struct {
		n   int
		err error
	}
	came := make(chan result, 1)
	go func() {
		n, err := h.receive(ctx, c, messages)
		came <- result{n, err}
	}()
	ends := time.Now().Add(hostileTime)
	for n := range hostileMessages {
		if _, err := c.Publish(ctx, messages, fmt.Append(nil, n)); err != nil {
			return 0, err
		}
		time.Sleep(time.Until(ends) / time.Duration(hostileMessages-n))
	}
	if err := c.FlushSafe(ctx); err != nil {
		return 0, err
	}
	r := <-came
	return r.n, r.err
}

// receive subscribes until all messages have come, again where a subscription ends.
func (h *hostile) receive(ctx context.Context, c *client.Client, topic string) (received int, err error) {
	for ctx.Err() == nil {
		sub, err := c.Subscribe(ctx, topic, client.From(client.Epoch), client.ID("all"))
		if err != nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		for m, err := range sub.Messages(ctx) {
			if err != nil {
				h.ended = append(h.ended, err)
				break
			}
			if string(m.Body) != fmt.Sprint(received) {
				return received, fmt.Errorf("message %q came in place of %d", m.Body, received)
			}
			received++
			if err := m.Discard(); err != nil {
				return received, err
			}
			if received == hostileMessages {
				return received, nil
			}
		}
	}
	return received, context.Cause(ctx)
}
