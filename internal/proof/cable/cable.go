// Package cable has the network cable between the instances of a pair, for programs that cut it.
package cable

import (
	"io"
	"net"
	"sync"
)

// A Cable is a proxy on the loopback interface: it connects a dialler to the other instance's
// replication port, unless the cable is cut. It is safe for concurrent use.
type Cable struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu    sync.Mutex
	cut   bool                  // guarded by mu
	conns map[net.Conn]struct{} // guarded by mu
}

// New listens on a port of its own for connections to target.
func New(target string) (*Cable, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Cable{listener: l, target: target, conns: make(map[net.Conn]struct{})}
	c.running.Go(c.accept)
	return c, nil
}

// Address returns the address for the dialler.
func (c *Cable) Address() string { return c.listener.Addr().String() }

func (c *Cable) accept() {
	for {
		from, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.running.Go(func() { c.connect(from) })
	}
}

// connect passes bytes both ways until either side or the cable ends it.
func (c *Cable) connect(from net.Conn) {
	defer from.Close()
	if !c.keep(from) {
		return
	}
	defer c.forget(from)
	to, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer to.Close()
	if !c.keep(to) {
		return
	}
	defer c.forget(to)
	var back sync.WaitGroup
	back.Go(func() {
		io.Copy(from, to)
		from.Close()
	})
	io.Copy(to, from)
	to.Close()
	back.Wait()
}

// keep notes a connection, and returns false if the cable is cut.
func (c *Cable) keep(nc net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return false
	}
	c.conns[nc] = struct{}{}
	return true
}

func (c *Cable) forget(nc net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, nc)
}

// SetCut cuts or mends the cable. A cut ends the connections that are there.
func (c *Cable) SetCut(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	if cut {
		for nc := range c.conns {
			nc.Close()
		}
	}
}

// Close ends the proxy and all its connections.
func (c *Cable) Close() {
	c.listener.Close()
	c.SetCut(true)
	c.running.Wait()
}
