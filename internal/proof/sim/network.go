package sim

import (
	"errors"
	"iter"
	"slices"
	"time"
)

// A direction is one direction between two hosts.
type direction struct{ from, to string }

// A conn is a connection. Each end sends in order; a packet that one end has sent and the
// other has not received is in flight.
type conn struct {
	w      *world
	ends   [2]*endpoint
	broken bool // nothing gets through any more
}

// An endpoint is one end of a connection, in the hands of a process.
type endpoint struct {
	conn       *conn
	process    *process
	other      *endpoint
	host       string
	closed     bool // by its own process, or gone with it
	notified   bool // that the connection has ended
	poweredOff bool // its machine lost power: it can't even refuse

	inFlight       []any // packets sent from here that have not arrived
	arrivalPlanned bool  // an event is planned for the first of it
	lastArrival    time.Duration
	lastHeard      time.Duration // time of the last packet, for heartbeats

	onPacket func(packet any)  // called with each packet
	onLost   func(cause error) // the connection has ended otherwise than by close
}

// fin follows the last packet of an endpoint that was closed.
type fin struct{}

var errReset = errors.New("connection reset")

// connect makes a connection between two processes. The one that is called
// learns of it by accepted, before anything that is sent on it.
func (w *world) connect(from, to *process, accepted func(*endpoint)) *endpoint {
	c := &conn{w: w}
	for i, p := range []*process{from, to} {
		c.ends[i] = &endpoint{conn: c, process: p, host: p.name, lastHeard: w.now, onPacket: func(any) {}, onLost: func(error) {}}
	}
	a, b := c.ends[0], c.ends[1]
	a.other, b.other = b, a
	w.conns = append(w.conns, c)
	takes := w.latency()
	a.lastArrival = w.now + takes
	w.after(takes, to, 'a', func() {
		if !b.ended() {
			accepted(b)
		}
	})
	return a
}

// endpoints are all ends of all connections.
func (w *world) endpoints() iter.Seq[*endpoint] {
	return func(yield func(*endpoint) bool) {
		for _, c := range w.conns {
			if !yield(c.ends[0]) || !yield(c.ends[1]) {
				return
			}
		}
	}
}

// ended reports whether the connection has ended for the process of this endpoint.
func (s *endpoint) ended() bool { return s.closed || s.notified }

// reachable reports whether a packet gets from one host to the other.
func (w *world) reachable(from, to string) bool { return w.cuts[direction{from, to}] == 0 }

// latency is how long a packet takes.
func (w *world) latency() time.Duration {
	d := 60*time.Microsecond + time.Duration(w.net.Int64N(int64(300*time.Microsecond)))
	if w.extraLatency > 0 {
		d += time.Duration(w.net.Int64N(int64(w.extraLatency)))
	}
	return d
}

// send puts a packet in flight.
func (s *endpoint) send(packet any) {
	if s.ended() || s.conn.broken {
		return
	}
	s.inFlight = append(s.inFlight, packet)
	s.planArrival()
}

// planArrival plans the arrival of the first packet in flight, unless that is planned or
// the direction is cut.
func (s *endpoint) planArrival() {
	w := s.conn.w
	if s.arrivalPlanned || len(s.inFlight) == 0 || !w.reachable(s.host, s.other.host) {
		return
	}
	s.arrivalPlanned = true
	at := max(w.now+w.latency(), s.lastArrival+time.Microsecond)
	s.lastArrival = at
	w.after(at-w.now, nil, 'n', func() {
		s.arrivalPlanned = false
		if !w.reachable(s.host, s.other.host) {
			return // it is planned again when the direction is open
		}
		s.deliver()
	})
}

// deliver hands over all packets in flight: packets sent one after the other arrive
// together.
func (s *endpoint) deliver() {
	packets := s.inFlight
	s.inFlight = nil
	to := s.other
	for _, p := range packets {
		if to.ended() {
			if !to.poweredOff {
				s.reset() // as a closed port answers
			}
			break
		}
		to.receive(p)
	}
	s.planArrival()
}

// receive hands a packet to the process, now or when it is resumed.
func (s *endpoint) receive(packet any) {
	w := s.conn.w
	w.after(0, s.process, 'r', func() {
		if s.ended() || s.conn.broken {
			return
		}
		s.lastHeard = w.now
		if _, ok := packet.(fin); ok {
			s.notifyEnd(errors.New("closed by the other side"))
			return
		}
		s.onPacket(packet)
	})
}

// reset notifies an endpoint that the connection is gone, as soon as that can get
// through.
func (s *endpoint) reset() {
	w := s.conn.w
	if s.ended() || !w.reachable(s.other.host, s.host) {
		return
	}
	w.after(w.latency(), s.process, 'x', func() { s.notifyEnd(errReset) })
}

// reset ends a connection from outside: packets in flight are lost, and both ends are
// notified.
func (c *conn) reset() {
	c.broken = true
	for _, s := range c.ends {
		s.inFlight = nil
		c.w.after(c.w.latency(), s.process, 'x', func() { s.notifyEnd(errReset) })
	}
}

// notifyEnd notifies the process that the connection has ended.
func (s *endpoint) notifyEnd(cause error) {
	if s.ended() {
		return
	}
	s.notified = true
	s.onLost(cause)
}

// close closes the endpoint. Packets in flight still arrive.
func (s *endpoint) close() {
	s.send(fin{})
	s.closed = true
}

// abort closes the endpoint and drops the packets in flight.
func (s *endpoint) abort() {
	if s.closed {
		return
	}
	s.closed, s.inFlight = true, nil
	s.other.reset()
}

// powerOff closes an endpoint whose machine has lost power: the other end is not
// notified.
func (s *endpoint) powerOff() { s.closed, s.inFlight, s.poweredOff = true, nil, true }

// cut cuts a way, heal opens it again. Cuts of one way add up.
func (w *world) cut(x direction) { w.cuts[x]++ }

func (w *world) heal(x direction) {
	if w.cuts[x]--; w.cuts[x] > 0 {
		return
	}
	delete(w.cuts, x)
	for s := range w.endpoints() {
		if s.host != x.from || s.other.host != x.to {
			continue
		}
		s.planArrival()
		if s.closed && !s.poweredOff && !s.other.ended() && len(s.inFlight) == 0 {
			s.other.reset() // its fin or reset did not get through
		}
	}
}

// closeConnections closes the connections of a process that has ended. Its kernel sends
// the packets in flight first, or drops them; nothing is sent if the machine lost power.
func (w *world) closeConnections(p *process, power bool) {
	w.conns = slices.DeleteFunc(w.conns, func(c *conn) bool {
		for _, s := range c.ends {
			switch {
			case s.process != p || s.closed:
			case s.notified:
				s.closed = true
			case power:
				s.powerOff()
			case w.net.IntN(2) == 0:
				s.close()
			default:
				s.abort()
			}
		}
		return c.ends[0].ended() && c.ends[1].ended() // neither process has it open any more
	})
}

// answerStale lets a machine that was off since a power cut answer again: with a reset,
// to a peer that still sends.
func (w *world) answerStale(p *process) {
	for s := range w.endpoints() {
		if s.process == p && s.poweredOff {
			s.poweredOff = false
			if len(s.other.inFlight) == 0 && w.net.IntN(2) == 0 {
				s.other.reset()
			}
		}
	}
}
