package golden_test

import (
	"context"
	"net"
	"sync"
)

// A recorder records the bytes of connections, each direction for itself.
type recorder struct {
	mu    sync.Mutex
	conns []*recorded // guarded by mu
}

// A recorded is a connection of a recorder.
type recorded struct {
	net.Conn
	mu      sync.Mutex
	out, in []byte // written and read; guarded by mu
}

func (r *recorder) dialPeer(ctx context.Context, address string) (net.Conn, error) {
	return r.dial(ctx, "tcp", address)
}

func (r *recorder) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &recorded{Conn: conn}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = append(r.conns, c)
	return c, nil
}

// longest returns both directions of the connection with the most bytes.
func (r *recorder) longest() (out, in []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.mu.Lock()
		if len(c.out)+len(c.in) > len(out)+len(in) {
			out, in = c.out, c.in
		}
		c.mu.Unlock()
	}
	return out, in
}

func (c *recorded) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, b[:n]...)
	return n, err
}

func (c *recorded) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in = append(c.in, b[:n]...)
	return n, err
}
