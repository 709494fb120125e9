// Package memnet is a network in memory for tests: hosts with TCP-like
// connections between them, and the faults that happen to those. It works
// inside a testing/synctest bubble; one bubble needs a network of its own.
package memnet

import (
	"context"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
)

const (
	defaultBuffer  = 64 << 10 // bytes between a writer and its reader
	backlog        = 128      // connections that wait for Accept
	firstEphemeral = 40001
)

// A Network is a set of hosts, each of which reaches each other until a fault is made. It
// is safe for concurrent use.
//
// A connection has no delay. Bytes arrive at once if the direction is open. Otherwise
// they wait in the sender's buffer, like TCP retransmits, until the direction is open
// again.
type Network struct {
	mu         sync.Mutex
	changed    *sync.Cond                    // for dialers; of mu: a direction may be open, a backlog shorter, a host dead
	hosts      map[string]*Host              // the live process of each host
	directions map[direction]*directionState // those that have been used or cut
	listeners  map[string]*listener          // by address
	conns      []*conn                       // both ends of each connection that has an open end
	nextPort   int
	buffer     int
	chunk      int // a Read returns no more; 0: any
}

// A direction is one direction between two hosts.
type direction struct{ from, to string }

// reverse returns the other direction.
func (w direction) reverse() direction { return direction{w.to, w.from} }

type directionState struct {
	cut       bool
	delivered int64 // bytes
	faultAt   int64 // value of delivered at which fault happens; 0: none
	fault     func(direction)
}

// New returns a network without hosts; they appear as they are named.
func New() *Network {
	n := &Network{
		hosts:      make(map[string]*Host),
		directions: make(map[direction]*directionState),
		listeners:  make(map[string]*listener),
		nextPort:   firstEphemeral,
		buffer:     defaultBuffer,
	}
	n.changed = sync.NewCond(&n.mu)
	return n
}

// SetBuffer sets how many bytes fit between a writer and its reader, from now
// on. The default is 64 KiB.
func (n *Network) SetBuffer(bytes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.buffer = max(bytes, 1)
	for _, c := range n.conns {
		c.cond.Broadcast()
	}
}

// SetReadChunk makes every Read return at most that many bytes, to find readers that
// expect the bytes of one write to arrive together. 0 is no limit.
func (n *Network) SetReadChunk(bytes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.chunk = bytes
}

// Listen is Host(host of addr).Listen(addr).
func (n *Network) Listen(addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, opError("listen", nil, textAddr(addr), err)
	}
	return n.Host(host).Listen(addr)
}

// Dial dials from the host without a name.
func (n *Network) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return n.Host("").Dial(ctx, addr)
}

// Delivered returns how many bytes have arrived from one host at another, over
// all connections.
func (n *Network) Delivered(from, to string) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.directionLocked(direction{from, to}).delivered
}

// Host returns the process that runs on the host of that name. After Kill it
// is a new one.
func (n *Network) Host(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[name]
	if h == nil {
		h = &Host{n: n, name: name}
		n.hosts[name] = h
	}
	return h
}

// A Host is one process on a named host. It is safe for concurrent use.
type Host struct {
	n    *Network
	name string

	dead   bool // guarded by n.mu: killed, and can't do anything any more
	paused bool // guarded by n.mu
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// Listen listens at "host:port" or ":port". The host may be this one's name, or
// one of those that stand for it on a real machine; port 0 takes a free one.
func (h *Host) Listen(addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, opError("listen", nil, textAddr(addr), err)
	}
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	switch {
	case h.dead:
		err = net.ErrClosed
	case h.resolve(host) != h.name:
		err = os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)
	case port == "0":
		port = h.n.freePortLocked()
	}
	at := net.JoinHostPort(h.name, port)
	if err == nil && h.n.listeners[at] != nil {
		err = os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	if err != nil {
		return nil, opError("listen", nil, textAddr(addr), err)
	}
	l := &listener{h: h, addr: at, cond: sync.NewCond(&h.n.mu)}
	h.n.listeners[at] = l
	return l, nil
}

// resolve returns the name of the host that an address means on this one.
func (h *Host) resolve(host string) string {
	switch host {
	case "", "localhost", "127.0.0.1", "0.0.0.0", "::", "::1":
		return h.name
	}
	return host
}

func (n *Network) freePortLocked() string {
	n.nextPort++
	return strconv.Itoa(n.nextPort - 1)
}

// Dial connects to a listener. Without one it fails at once with
// syscall.ECONNREFUSED; where either direction is cut it waits until that
// changes or ctx ends. It doesn't wait for Accept, as the kernel of a real
// host answers, except that of a full backlog.
func (h *Host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, opError("dial", nil, textAddr(addr), err)
	}
	n := h.n
	stop := context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.changed.Broadcast()
	})
	defer stop()

	n.mu.Lock()
	defer n.mu.Unlock()
	to := h.resolve(host)
	at := net.JoinHostPort(to, port)
	for {
		c, err := h.tryDialLocked(ctx, to, at)
		if err != nil {
			return nil, opError("dial", nil, textAddr(addr), err)
		}
		if c != nil {
			return c, nil
		}
		n.changed.Wait()
	}
}

// tryDialLocked returns nil, nil if dialing has to wait.
func (h *Host) tryDialLocked(ctx context.Context, to, at string) (*conn, error) {
	n := h.n
	w := direction{h.name, to}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if h.dead {
		return nil, net.ErrClosed
	}
	if h.paused || n.directionLocked(w).cut || n.directionLocked(w.reverse()).cut {
		return nil, nil
	}
	l := n.listeners[at]
	if l == nil {
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	if len(l.backlog) >= backlog {
		return nil, nil
	}
	local := net.JoinHostPort(h.name, n.freePortLocked())
	near, far := newPair(h, l.h, textAddr(local), textAddr(at))
	n.conns = append(n.conns, near, far)
	l.backlog = append(l.backlog, far)
	l.cond.Broadcast()
	return near, nil
}

func (n *Network) directionLocked(w direction) *directionState {
	s := n.directions[w]
	if s == nil {
		s = &directionState{}
		n.directions[w] = s
	}
	return s
}

// forgetLocked takes connections off the list whose ends are both closed.
func (n *Network) forgetLocked() {
	n.conns = slices.DeleteFunc(n.conns, func(c *conn) bool { return c.closed && c.peer.closed })
}

// A textAddr is a net.Addr of the form "host:port".
type textAddr string

func (a textAddr) Network() string { return "tcp" }
func (a textAddr) String() string  { return string(a) }

func opError(op string, source, addr net.Addr, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: source, Addr: addr, Err: err}
}
