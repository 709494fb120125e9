package budget

import (
	"net"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A StubClient is a client of next to no cost: it does not allocate once it is logged
// on.
type StubClient struct {
	t    testing.TB
	conn net.Conn
	r    *wire.Reader
	m    wire.Message
	pub  wire.PublishCommand
	out  []byte

	Headers []byte // of each published message, as in a record
}

// NewStubClient logs on over a connection. The name is that of the client and of its
// store. The connection is closed by Close, or at the end of the test.
func NewStubClient(t testing.TB, conn net.Conn, name string) *StubClient {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	c := &StubClient{t: t, conn: conn, r: wire.NewReader(conn, 16<<20)}
	c.pub.Acks = wire.AckPersisted
	logon := wire.LogonCommand{
		CommandID: "0", ClientName: name, MessageType: "json", Acks: wire.AckProcessed, Ext: true, Store: name, Counter: 1,
	}
	c.write(logon.AppendTo(nil))
	c.await(wire.AckProcessed)
	return c
}

// Close ends the connection.
func (c *StubClient) Close() { c.conn.Close() }

func (c *StubClient) write(frames []byte) {
	if _, err := c.conn.Write(frames); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// next reads the next frame.
func (c *StubClient) next() *wire.Message {
	frame, err := c.r.Next()
	if err == nil {
		err = wire.Parse(frame, &c.m)
	}
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return &c.m
}

// await reads until the next ack of a type, which must report success.
func (c *StubClient) await(a wire.AckType) *wire.Message {
	for {
		m := c.next()
		if m.Command != wire.Ack || m.Acks&a == 0 {
			continue
		}
		if string(m.Status) != wire.StatusSuccess {
			c.t.Fatalf("ack %s: %s", m.Status, m.Reason)
		}
		return m
	}
}

// Publish sends n messages in one write.
func (c *StubClient) Publish(n int, topic string, body []byte) {
	c.out = c.out[:0]
	c.pub.Topic, c.pub.Headers, c.pub.Body = topic, c.Headers, body
	for range n {
		c.pub.Sequence++
		c.out = c.pub.AppendTo(c.out)
	}
	c.write(c.out)
}

// AwaitPersisted waits until all published messages are acknowledged.
func (c *StubClient) AwaitPersisted() {
	for c.await(wire.AckPersisted).Sequence < c.pub.Sequence {
	}
}

// Subscribe subscribes to a topic from the start of the log.
func (c *StubClient) Subscribe(topic, options string) {
	s := wire.SubscribeCommand{
		Command: wire.Subscribe, CommandID: "s", SubID: "s", Topic: topic, Bookmark: "0", Options: options,
		Acks: wire.AckProcessed,
	}
	c.write(s.AppendTo(nil))
	c.await(wire.AckProcessed)
}

// Receive reads until it has received n messages.
func (c *StubClient) Receive(n int) {
	for n > 0 {
		switch m := c.next(); m.Command {
		case wire.Publish:
			n--
		case wire.Stretch:
			n -= c.count(m.Body)
		}
	}
}

// count returns the number of messages in a stretch.
func (c *StubClient) count(stretch []byte) (n int) {
	var r wire.Entry
	for ; ; n++ {
		rest, more, err := wire.NextEntry(stretch, &r)
		if err != nil {
			c.t.Fatal(err)
		}
		if !more {
			return n
		}
		stretch = rest
	}
}
