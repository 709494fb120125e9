package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// maxHandshake is the largest TLS handshake that is read from the other side, bytes.
const maxHandshake = 64 << 10

// handshakeSlots bound the handshakes that compute at the same time. A stranger can start many
// handshakes, each of which costs up to a few milliseconds of computation. So those of clients take
// at most half of the processors, and those of links one. A handshake that waits for the network
// needs no slot, so slow strangers keep nobody out.
type handshakeSlots chan struct{}

func newHandshakeSlots() handshakeSlots {
	return make(handshakeSlots, max(1, runtime.GOMAXPROCS(0)/2))
}

// A handshakeConn is the connection under a TLS connection. During the handshake it takes a slot for
// the time between reads and writes, and it bounds the bytes that are read. After the handshake it
// only passes on.
type handshakeConn struct {
	net.Conn
	slots    handshakeSlots
	ctx      context.Context // ends the wait for a slot
	deadline time.Time       // ends it, too
	holds    bool            // a slot
	first    []byte          // read before the handshake began
	bytes    int             // read by the handshake
	done     atomic.Bool     // the handshake has ended
}

// run runs the handshake.
func (c *handshakeConn) run(handshake func() error) error {
	defer c.done.Store(true)
	if err := c.take(); err != nil {
		return err
	}
	defer c.give()
	return handshake()
}

// take waits for a slot.
func (c *handshakeConn) take() error {
	if failpoint.On(failpoint.TLSUnbounded) {
		return nil
	}
	timer := time.NewTimer(time.Until(c.deadline))
	defer timer.Stop()
	select {
	case c.slots <- struct{}{}:
		c.holds = true
		return nil
	case <-c.ctx.Done():
		return net.ErrClosed
	case <-timer.C:
		return fmt.Errorf("wait for other TLS handshakes: %w", os.ErrDeadlineExceeded)
	}
}

// give gives the slot back.
func (c *handshakeConn) give() {
	if c.holds {
		c.holds = false
		<-c.slots
	}
}

func (c *handshakeConn) Read(p []byte) (n int, err error) {
	if c.done.Load() {
		return c.Conn.Read(p)
	}
	if len(c.first) > 0 {
		n = copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	if c.bytes >= maxHandshake && !failpoint.On(failpoint.TLSLongHandshake) {
		return 0, fmt.Errorf("it is longer than %d bytes", maxHandshake)
	}
	n, err = c.withoutSlot(c.Conn.Read, p)
	c.bytes += n
	return n, err
}

func (c *handshakeConn) Write(p []byte) (n int, err error) {
	if c.done.Load() {
		return c.Conn.Write(p)
	}
	return c.withoutSlot(c.Conn.Write, p)
}

// withoutSlot reads or writes, which may block.
func (c *handshakeConn) withoutSlot(do func([]byte) (int, error), p []byte) (n int, err error) {
	c.give()
	if n, err = do(p); err == nil {
		err = c.take()
	}
	return n, err
}

// A tlsConn is the server's side of a TLS connection. Unlike a tls.Conn it does no handshake by
// itself, and Close does not wait for the other side to read. One goroutine does the handshake;
// afterwards it is safe for concurrent use like any net.Conn.
type tlsConn struct {
	net.Conn // the connection itself, for addresses and deadlines
	under    *handshakeConn
	tls      *tls.Conn
	phase    atomic.Uint32 // a tlsPhase
}

type tlsPhase = uint32

const (
	tlsNew    tlsPhase = iota // the handshake has not ended
	tlsOpen                   // it has succeeded
	tlsFailed                 // it has failed
	tlsPlain                  // there is none: the other side sends something else
)

func newTLSConn(nc net.Conn, config *tls.Config, slots handshakeSlots) *tlsConn {
	under := &handshakeConn{Conn: nc, slots: slots}
	return &tlsConn{Conn: nc, under: under, tls: tls.Server(under, config)}
}

// recordHandshake is the first byte of a TLS handshake. In the protocols of this package it would
// be the highest byte of a length that is far too large.
const recordHandshake = 0x16

// errNoTLS reports that the other side does not begin with a TLS handshake.
var errNoTLS = errors.New("the other side does not use TLS")

// handshake does the handshake. The caller has set the deadline of the connection; ctx and deadline
// end the wait for other handshakes. After errNoTLS the connection reads and writes without TLS.
func (c *tlsConn) handshake(ctx context.Context, deadline time.Time) error {
	first := make([]byte, 1)
	if _, err := io.ReadFull(c.Conn, first); err != nil {
		c.phase.Store(tlsFailed)
		return err
	}
	c.under.ctx, c.under.deadline, c.under.first = ctx, deadline, first
	if first[0] != recordHandshake {
		c.phase.Store(tlsPlain)
		return errNoTLS
	}
	if err := c.under.run(c.tls.Handshake); err != nil {
		c.phase.Store(tlsFailed)
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.phase.Store(tlsOpen)
	return nil
}

var errNoHandshake = errors.New("the TLS handshake has not succeeded")

func (c *tlsConn) Read(p []byte) (n int, err error) {
	switch c.phase.Load() {
	case tlsOpen:
		return c.tls.Read(p)
	case tlsPlain:
		if n = copy(p, c.under.first); n > 0 {
			c.under.first = c.under.first[n:]
			return n, nil
		}
		return c.Conn.Read(p)
	case tlsFailed: // discard the input, so that the other side can read the alert
		_, err = io.Copy(io.Discard, c.Conn)
		return 0, cmp.Or(err, io.EOF)
	}
	return 0, errNoHandshake
}

func (c *tlsConn) Write(p []byte) (int, error) {
	switch c.phase.Load() {
	case tlsOpen:
		return c.tls.Write(p)
	case tlsPlain:
		return c.Conn.Write(p)
	}
	return 0, errNoHandshake
}

// ConnectionState returns the result of the handshake, which must have succeeded.
func (c *tlsConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// CloseWrite tells the other side that nothing more comes. It takes lingerTime at most.
func (c *tlsConn) CloseWrite() error {
	if c.phase.Load() == tlsOpen {
		limit := time.AfterFunc(lingerTime, func() { _ = c.Conn.SetWriteDeadline(time.Unix(1, 0)) }) // tls.Conn sets 5 s
		defer limit.Stop()
		if err := c.tls.CloseWrite(); err != nil {
			return err
		}
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// SetLinger sets the behaviour of Close as net.TCPConn.SetLinger does.
func (c *tlsConn) SetLinger(seconds int) error {
	if tcp, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		return tcp.SetLinger(seconds)
	}
	return errors.ErrUnsupported
}
