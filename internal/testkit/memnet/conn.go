package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A conn is one end of a connection. Everything that changes in it is guarded
// by the network's mutex.
type conn struct {
	host          *Host
	local, remote net.Addr
	peer          *conn
	in, out       *stream

	cond   *sync.Cond // for this end's Read and Write: anything about it changed
	closed bool       // by this end; nothing works any more
	reset  bool       // an RST has arrived: bytes received before it can still be read
	read   deadline
	write  deadline
}

// A stream is one direction of a connection. The sender's and the receiver's
// buffer are the two parts of buf.
type stream struct {
	from, to   *conn
	direction  direction
	buf        []byte // sent, not yet read
	spare      []byte // where buf begins again once it is empty
	arrived    int    // so much of buf has arrived
	ended      ending // set after buf by the sender
	endArrived bool   // the ending has arrived
}

// An ending is the end of a stream.
type ending uint8

const (
	open ending = iota
	fin         // the sender will send no more
	rst         // the sender is gone and threw away its received bytes
)

func newPair(dialer, listener *Host, local, remote net.Addr) (near, far *conn) {
	mu := &dialer.n.mu
	near = &conn{host: dialer, local: local, remote: remote, cond: sync.NewCond(mu)}
	far = &conn{host: listener, local: remote, remote: local, cond: sync.NewCond(mu), peer: near}
	near.peer = far
	there := &stream{from: near, to: far, direction: direction{dialer.name, listener.name}}
	back := &stream{from: far, to: near, direction: there.direction.reverse()}
	near.out, near.in = there, back
	far.out, far.in = back, there
	return near, far
}

// Read reads the bytes that have arrived, and waits if there are none.
func (c *conn) Read(p []byte) (int, error) {
	n := c.host.n
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		if got, err, done := c.tryReadLocked(p); done {
			if err != nil && err != io.EOF {
				err = opError("read", c.local, c.remote, err)
			}
			return got, err
		}
		c.cond.Wait()
	}
}

func (c *conn) tryReadLocked(p []byte) (got int, err error, done bool) {
	switch {
	case c.closed:
		return 0, net.ErrClosed, true
	case c.host.paused:
		return 0, nil, false
	case c.read.passed():
		return 0, os.ErrDeadlineExceeded, true
	case len(p) == 0:
		return 0, nil, true
	case c.in.arrived > 0:
		return c.takeLocked(p), nil, true
	case c.reset:
		return 0, os.NewSyscallError("read", syscall.ECONNRESET), true
	case c.in.endArrived:
		return 0, io.EOF, true
	}
	return 0, nil, false
}

// takeLocked moves arrived bytes to p.
func (c *conn) takeLocked(p []byte) int {
	if chunk := c.host.n.chunk; chunk > 0 && len(p) > chunk {
		p = p[:chunk]
	}
	got := copy(p, c.in.buf[:c.in.arrived])
	c.in.buf = c.in.buf[got:]
	c.in.arrived -= got
	if len(c.in.buf) == 0 {
		c.in.buf = c.in.spare
	}
	c.peer.cond.Broadcast() // there is room
	return got
}

// Write sends p, and waits while the buffer between the two ends is full.
func (c *conn) Write(p []byte) (int, error) {
	n := c.host.n
	n.mu.Lock()
	defer n.mu.Unlock()
	sent := 0
	for {
		if err := c.writableLocked(); err != nil {
			return sent, opError("write", c.local, c.remote, err)
		}
		if !c.host.paused {
			sent += c.putLocked(p[sent:])
			if sent == len(p) {
				return sent, nil
			}
		}
		c.cond.Wait()
	}
}

// TryWrite sends the part of p for which there is room, which may be nothing.
func (c *conn) TryWrite(p []byte) (int, error) {
	n := c.host.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := c.writableLocked(); err != nil {
		return 0, opError("write", c.local, c.remote, err)
	}
	if c.host.paused {
		return 0, nil
	}
	return c.putLocked(p), nil
}

func (c *conn) writableLocked() error {
	switch {
	case c.closed:
		return net.ErrClosed
	case c.host.paused:
		return nil // a stopped process doesn't notice anything
	case c.write.passed():
		return os.ErrDeadlineExceeded
	case c.reset:
		return os.NewSyscallError("write", syscall.ECONNRESET)
	case c.out.ended != open:
		return os.NewSyscallError("write", syscall.EPIPE)
	}
	return nil
}

// putLocked sends the part of p for which there is room.
func (c *conn) putLocked(p []byte) int {
	room := max(c.host.n.buffer-len(c.out.buf), 0)
	if p = p[:min(room, len(p))]; len(p) == 0 {
		return 0 // waking the other end for nothing, two that wait in Write would wake each other for ever
	}
	before := cap(c.out.buf)
	c.out.buf = append(c.out.buf, p...)
	if cap(c.out.buf) != before {
		c.out.spare = c.out.buf[:0]
	}
	c.out.flowLocked()
	return len(p)
}

// flowLocked lets bytes arrive, as far as the direction is open.
func (s *stream) flowLocked() {
	n := s.from.host.n
	state := n.directionLocked(s.direction)
	if state.cut || s.from.host.paused {
		return
	}
	fresh := len(s.buf) - s.arrived
	faulty := state.faultAt > 0 && state.delivered+int64(fresh) >= state.faultAt
	if faulty {
		fresh = int(state.faultAt - state.delivered)
	}
	s.arrived += fresh
	state.delivered += int64(fresh)
	if s.arrived == len(s.buf) && s.ended != open {
		s.endArrived = true
		s.to.reset = s.to.reset || s.ended == rst
	}
	if s.to.closed && s.arrived > 0 {
		s.buf, s.arrived = nil, 0
		if !n.directionLocked(s.direction.reverse()).cut {
			s.from.reset = true // the other end is closed: the host answers with an RST
		}
		s.from.cond.Broadcast()
	}
	s.to.cond.Broadcast()
	if faulty {
		fault := state.fault
		state.faultAt, state.fault = 0, nil
		fault(s.direction)
	}
}

// CloseWrite ends the sending direction; this end can still read.
func (c *conn) CloseWrite() error {
	n := c.host.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return opError("close", c.local, c.remote, net.ErrClosed)
	}
	c.endLocked(fin)
	c.cond.Broadcast()
	return nil
}

// Close ends the connection. The other end reads all sent bytes and then EOF, or, as on
// Linux, ECONNRESET if this end leaves arrived bytes unread.
func (c *conn) Close() error {
	n := c.host.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return opError("close", c.local, c.remote, net.ErrClosed)
	}
	c.closeLocked(c.in.arrived > 0)
	return nil
}

func (c *conn) closeLocked(abort bool) {
	if c.closed {
		return
	}
	c.closed = true
	c.read.stop()
	c.write.stop()
	if abort {
		c.out.buf = c.out.buf[:c.out.arrived] // bytes that are only in the sender's buffer are thrown away
		c.endLocked(rst)
	} else {
		c.endLocked(fin)
	}
	c.in.buf = c.in.buf[c.in.arrived:]
	c.in.arrived = 0
	c.cond.Broadcast()
	c.peer.cond.Broadcast()
	c.host.n.forgetLocked()
}

func (c *conn) endLocked(e ending) {
	c.out.ended = max(c.out.ended, e)
	c.out.flowLocked()
}

// resetLocked is an RST from somewhere on the way. If drop, bytes on their way to this
// end are lost, even those that have arrived and aren't read yet.
func (c *conn) resetLocked(drop bool) {
	c.reset = true
	if drop {
		c.in.arrived = 0
	}
	c.in.buf = c.in.buf[:c.in.arrived]
	c.cond.Broadcast()
}

// LocalAddr returns this end's address.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the other end's address.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	return c.setDeadlines(t, &c.read, &c.write)
}

// SetReadDeadline sets when Read gives up; the zero time is never.
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.read) }

// SetWriteDeadline sets when Write gives up; the zero time is never.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.write) }

func (c *conn) setDeadlines(t time.Time, ds ...*deadline) error {
	n := c.host.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return opError("set", c.local, c.remote, net.ErrClosed)
	}
	for _, d := range ds {
		d.set(t, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			c.cond.Broadcast()
		})
	}
	c.cond.Broadcast()
	return nil
}

// A deadline is a time that wakes all waiting calls when it passes.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) set(t time.Time, wake func()) {
	d.stop()
	d.at = t
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, wake)
	}
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }
