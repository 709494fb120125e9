package main

import (
	"net"
	"time"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A raw client sends any frames, whatever the protocol asks for.
type raw struct {
	net.Conn
	r *wire.Reader
}

// A frame is a command.
type frame interface{ AppendTo(dst []byte) []byte }

// dialRaw connects to an instance. All of it must be done within a few seconds.
func dialRaw(address string) (*raw, error) {
	conn, err := dialFrom(nil, address)
	if err != nil {
		return nil, err
	}
	return newRaw(conn), nil
}

func newRaw(conn net.Conn) *raw { return &raw{conn, wire.NewReader(conn, 1<<20)} }

// dialFrom connects from an address of this machine; nil: any. The connection has a deadline in a
// few seconds.
func dialFrom(from net.IP, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: time.Second}
	if from != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: from}
	}
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(3 * time.Second))
}

// A refusal is the reason of a failure ack.
type refusal string

func (r refusal) Error() string { return string(r) }

// send sends frames in one write.
func (c *raw) send(frames ...frame) error {
	var b []byte
	for _, f := range frames {
		b = f.AppendTo(b)
	}
	_, err := c.Write(b)
	return err
}

// await reads until a message of that kind comes. A failure is an error.
func (c *raw) await(acks wire.AckType) (*wire.Message, error) {
	for {
		b, err := c.r.Next()
		if err != nil {
			return nil, err
		}
		m := new(wire.Message)
		if err := wire.Parse(b, m); err != nil {
			return nil, err
		}
		if m.Failed() && (m.Acks&acks != 0 || m.Acks&wire.AckPersisted == 0) { // not the failure of an earlier message
			return nil, refusal(m.Reason)
		}
		if m.Acks&acks != 0 {
			return m, nil
		}
	}
}

// logon returns a logon with our extensions, which states that all between acked
// and last was rejected.
func logon(name, life string, counter, acked, last uint64) *wire.LogonCommand {
	c := &wire.LogonCommand{CommandID: "0", ClientName: name, Acks: wire.AckProcessed, Ext: true, Store: life, Counter: counter, Acked: acked, Last: last}
	if acked+1 < last {
		c.Rejected = []wire.Span{{From: acked + 1, To: last - 1}}
	}
	return c
}

// publish returns a numbered publish.
func publish(topic string, sequence uint64, body string) *wire.PublishCommand {
	return &wire.PublishCommand{Topic: topic, Acks: wire.AckPersisted, Sequence: sequence, Body: []byte(body)}
}
