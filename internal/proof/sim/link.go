package sim

import (
	"encoding/binary"
	"errors"
	"net"
	"time"

	"github.com/holdfast-mq/holdfast/internal/replica"
)

// A linkEnd is one end of a connection between two instances.
type linkEnd struct {
	i      *instance
	conn   *endpoint
	end    *replica.Endpoint
	closed bool
}

var errLinkLost = errors.New("link lost: no sign of the peer")

// dial tries to link with a peer until the process ends.
func (i *instance) dial(p *instance, delay, wait time.Duration) {
	w := i.w
	w.after(wait, &i.process, 'c', func() {
		next := min(2*delay, 2*time.Second)
		again := delay/2 + time.Duration(w.net.Int64N(int64(delay/2)))
		switch {
		case i.isLinked(p.name):
			again, next = 100*time.Millisecond, 50*time.Millisecond
		case p.alive && w.reachable(i.name, p.name) && w.reachable(p.name, i.name):
			i.connectLink(p)
		}
		i.dial(p, next, again)
	})
}

// connectLink connects to a peer.
func (i *instance) connectLink(p *instance) {
	ours := i.w.connect(&i.process, &p.process, func(s *endpoint) { p.attachLink(s, "") })
	i.attachLink(ours, p.name)
}

func (i *instance) attachLink(s *endpoint, destination string) {
	e := &linkEnd{i: i, conn: s}
	c := &linkConn{e: e}
	if destination != "" && !i.foreign {
		c.recording = i.recordLink(s)
	}
	e.end = i.links.Connect(c, destination)
	s.onPacket = func(packet any) {
		if err := e.end.Receive(packet.([]byte)); err != nil {
			e.close(err)
		}
		if s.other.process.foreign && e.end.Peer() != "" {
			i.w.oracle.violate("%s takes a stranger for %s", i.name, e.end.Peer())
		}
		i.wake()
	}
	s.onLost = func(cause error) { e.close(cause); i.wake() }
	i.linkEnds = append(i.linkEnds, e)
	i.wake()
}

func (e *linkEnd) turn() (busy bool) {
	if e.closed {
		return false
	}
	busy, err := e.end.SendPending()
	if err != nil {
		e.close(err)
		return false
	}
	return busy
}

// checkHeartbeat closes the link if the peer is silent.
func (e *linkEnd) checkHeartbeat() {
	if e.i.w.now-e.conn.lastHeard >= 4*linkHeartbeat {
		e.close(errLinkLost)
	}
}

func (e *linkEnd) close(cause error) {
	if e.closed {
		return
	}
	e.closed = true
	if p := e.i.partner(); p != nil && e.end.Peer() == p.linkName {
		e.i.peerSeen = e.i.w.now
	}
	e.i.w.logf("%s: link to %s ends: %v", e.i.name, e.conn.other.host, cause)
	e.end.Close(cause)
	e.conn.close()
}

// A linkConn is the connection that an End writes to. It sends whole frames.
type linkConn struct {
	net.Conn  // nil: an End needs only the methods below
	e         *linkEnd
	partial   []byte // of a frame
	recording *recording
}

func (c *linkConn) Write(b []byte) (int, error) {
	c.partial = append(c.partial, b...)
	for len(c.partial) >= frameHeader {
		n := frameHeader + int(binary.BigEndian.Uint32(c.partial))
		if n > len(c.partial) {
			break
		}
		frame := append([]byte(nil), c.partial[:n]...)
		c.e.conn.send(frame)
		if r := c.recording; r != nil && len(r.frames) < maxRecordedFrames {
			r.frames = append(r.frames, frame)
		}
		c.partial = c.partial[:copy(c.partial, c.partial[n:])]
	}
	return len(b), nil
}

// frameHeader is the length of the header of a link's frame.
const frameHeader = 8

// TryWrite is for inline writes. At times the connection takes a part of b, or nothing; a
// turn sends the rest.
func (c *linkConn) TryWrite(b []byte) (int, error) {
	if w := c.e.i.w; len(b) > 0 && w.net.IntN(4) == 0 {
		c.e.i.wake()
		b = b[:w.net.IntN(len(b))]
	}
	return c.Write(b)
}

func (c *linkConn) Close() error                     { return nil }
func (c *linkConn) RemoteAddr() net.Addr             { return nil }
func (c *linkConn) SetWriteDeadline(time.Time) error { return nil }
func (c *linkConn) SetReadDeadline(time.Time) error  { return nil }
