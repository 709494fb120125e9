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
	s      *side
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
		case i.linked(p.name):
			again, next = 100*time.Millisecond, 50*time.Millisecond
		case p.alive && w.reachable(i.name, p.name) && w.reachable(p.name, i.name):
			i.link(p)
		}
		i.dial(p, next, again)
	})
}

// link connects to a peer.
func (i *instance) link(p *instance) {
	ours := i.w.connect(&i.process, &p.process, func(s *side) { p.attach(s, "") })
	i.attach(ours, p.name)
}

func (i *instance) attach(s *side, destination string) {
	e := &linkEnd{i: i, s: s}
	c := &linkConn{e: e}
	if destination != "" && !i.strange {
		c.recorded = i.record(s)
	}
	e.end = i.links.Connect(c, destination)
	s.take = func(packet any) {
		if err := e.end.Receive(packet.([]byte)); err != nil {
			e.close(err)
		}
		if s.other.p.strange && e.end.Peer() != "" {
			i.w.oracle.violate("%s takes a stranger for %s", i.name, e.end.Peer())
		}
		i.wake()
	}
	s.lost = func(cause error) { e.close(cause); i.wake() }
	i.ends = append(i.ends, e)
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

// beat finds out whether the peer lives.
func (e *linkEnd) beat() {
	if e.i.w.now-e.s.heard >= 4*linkHeartbeat {
		e.close(errLinkLost)
	}
}

func (e *linkEnd) close(cause error) {
	if e.closed {
		return
	}
	e.closed = true
	e.i.w.say("%s: link to %s ends: %v", e.i.name, e.s.other.host, cause)
	e.end.Close(cause)
	e.s.close()
}

// A linkConn is what an End writes to. It sends whole frames.
type linkConn struct {
	net.Conn // nil: an End needs nothing of it but what follows
	e        *linkEnd
	part     []byte // of a frame
	recorded *recording
}

func (c *linkConn) Write(b []byte) (int, error) {
	c.part = append(c.part, b...)
	for len(c.part) >= frameHeader {
		n := frameHeader + int(binary.BigEndian.Uint32(c.part))
		if n > len(c.part) {
			break
		}
		frame := append([]byte(nil), c.part[:n]...)
		c.e.s.send(frame)
		if r := c.recorded; r != nil && len(r.frames) < maxRecordedFrames {
			r.frames = append(r.frames, frame)
		}
		c.part = c.part[:copy(c.part, c.part[n:])]
	}
	return len(b), nil
}

// frameHeader is the length of what stands before the payload of a link's frame.
const frameHeader = 8

// TryWrite is for what is sent inline. At times the connection takes a part of
// it, or nothing; a turn sends the rest.
func (c *linkConn) TryWrite(b []byte) (int, error) {
	if w := c.e.i.w; len(b) > 0 && w.net.IntN(4) == 0 {
		c.e.i.wake()
		b = b[:w.net.IntN(len(b))]
	}
	return c.Write(b)
}

func (c *linkConn) Close() error                     { return nil }
func (c *linkConn) SetWriteDeadline(time.Time) error { return nil }
func (c *linkConn) SetReadDeadline(time.Time) error  { return nil }
