package memnet

import (
	"net"
	"sync"
)

// A listener is a net.Listener of one host. All of it is guarded by the
// network's mutex.
type listener struct {
	h       *Host
	addr    string
	cond    *sync.Cond // for Accept: a connection, the end, or the host runs again
	backlog []*conn
	closed  bool
}

// Accept waits for a connection.
func (l *listener) Accept() (net.Conn, error) {
	n := l.h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		if l.closed {
			return nil, opError("accept", nil, l.Addr(), net.ErrClosed)
		}
		if len(l.backlog) > 0 && !l.h.paused {
			c := l.backlog[0]
			l.backlog = l.backlog[1:]
			n.changed.Broadcast()
			return c, nil
		}
		l.cond.Wait()
	}
}

// Close ends Accept and resets the connections that it hasn't returned.
func (l *listener) Close() error {
	n := l.h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.closed {
		return opError("close", nil, l.Addr(), net.ErrClosed)
	}
	l.closeLocked()
	return nil
}

func (l *listener) closeLocked() {
	l.closed = true
	delete(l.h.n.listeners, l.addr)
	for _, c := range l.backlog {
		c.closeLocked(true)
	}
	l.backlog = nil
	l.cond.Broadcast()
	l.h.n.changed.Broadcast() // dialers that wait for room in the backlog are refused
}

// Addr returns the listener's address, "host:port".
func (l *listener) Addr() net.Addr { return textAddr(l.addr) }
