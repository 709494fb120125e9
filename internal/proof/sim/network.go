package sim

import (
	"errors"
	"iter"
	"slices"
	"time"
)

// A way is one direction between two hosts.
type way struct{ from, to string }

// A conn is a connection. Each side sends in order; what one has sent and the
// other not received is on its way.
type conn struct {
	w      *world
	sides  [2]*side
	broken bool // nothing gets through any more
}

// A side is one end of a connection, in the hands of a process.
type side struct {
	c      *conn
	p      *process
	other  *side
	host   string
	closed bool // by its own process, or gone with it
	told   bool // that the connection has ended
	silent bool // its machine lost power: it can't even refuse

	way    []any // on its way from here
	moving bool  // an event is planned for the first of it
	last   time.Duration
	heard  time.Duration // when something came, for who watches

	take func(packet any)  // what came
	lost func(cause error) // the connection has ended otherwise than by close
}

// fin stands behind the last packet of a side that was closed.
type fin struct{}

var errReset = errors.New("connection reset")

// connect makes a connection between two processes. The one that is called
// learns of it by accepted, before anything that is sent on it.
func (w *world) connect(from, to *process, accepted func(*side)) *side {
	c := &conn{w: w}
	for i, p := range []*process{from, to} {
		c.sides[i] = &side{c: c, p: p, host: p.name, heard: w.now, take: func(any) {}, lost: func(error) {}}
	}
	a, b := c.sides[0], c.sides[1]
	a.other, b.other = b, a
	w.conns = append(w.conns, c)
	takes := w.latency()
	a.last = w.now + takes
	w.after(takes, to, 'a', func() {
		if !b.done() {
			accepted(b)
		}
	})
	return a
}

// sides are all ends of all connections.
func (w *world) sides() iter.Seq[*side] {
	return func(yield func(*side) bool) {
		for _, c := range w.conns {
			if !yield(c.sides[0]) || !yield(c.sides[1]) {
				return
			}
		}
	}
}

// done reports whether the connection has ended for the process of a side.
func (s *side) done() bool { return s.closed || s.told }

// reachable reports whether a packet gets from one host to the other.
func (w *world) reachable(from, to string) bool { return w.cuts[way{from, to}] == 0 }

// latency is how long a packet takes.
func (w *world) latency() time.Duration {
	d := 60*time.Microsecond + time.Duration(w.net.Int64N(int64(300*time.Microsecond)))
	if w.slow > 0 {
		d += time.Duration(w.net.Int64N(int64(w.slow)))
	}
	return d
}

// send puts a packet on its way.
func (s *side) send(packet any) {
	if s.done() || s.c.broken {
		return
	}
	s.way = append(s.way, packet)
	s.move()
}

// move plans the arrival of the first packet on its way, unless that is
// planned or the way is cut.
func (s *side) move() {
	w := s.c.w
	if s.moving || len(s.way) == 0 || !w.reachable(s.host, s.other.host) {
		return
	}
	s.moving = true
	at := max(w.now+w.latency(), s.last+time.Microsecond)
	s.last = at
	w.after(at-w.now, nil, 'n', func() {
		s.moving = false
		if !w.reachable(s.host, s.other.host) {
			return // it is sent again when the way is open
		}
		s.arrive()
	})
}

// arrive hands over all that is on its way: what was sent one after the other
// comes together.
func (s *side) arrive() {
	packets := s.way
	s.way = nil
	to := s.other
	for _, p := range packets {
		if to.done() {
			if !to.silent {
				s.reset() // who sends to a closed port hears so
			}
			break
		}
		to.receive(p)
	}
	s.move()
}

// receive has the process take a packet, now or when it goes on.
func (s *side) receive(packet any) {
	w := s.c.w
	w.after(0, s.p, 'r', func() {
		if s.done() || s.c.broken {
			return
		}
		s.heard = w.now
		if _, is := packet.(fin); is {
			s.end(errors.New("closed by the other side"))
			return
		}
		s.take(packet)
	})
}

// reset tells a side that the connection is gone, as soon as that can get through.
func (s *side) reset() {
	w := s.c.w
	if s.done() || !w.reachable(s.other.host, s.host) {
		return
	}
	w.after(w.latency(), s.p, 'x', func() { s.end(errReset) })
}

// reset ends a connection from outside: what is on its way is gone, and both
// sides hear of it.
func (c *conn) reset() {
	c.broken = true
	for _, s := range c.sides {
		s.way = nil
		c.w.after(c.w.latency(), s.p, 'x', func() { s.end(errReset) })
	}
}

// end tells the process that the connection has ended.
func (s *side) end(cause error) {
	if s.done() {
		return
	}
	s.told = true
	s.lost(cause)
}

// close closes the side. What is on its way still arrives.
func (s *side) close() {
	s.send(fin{})
	s.closed = true
}

// abort closes the side and drops what is on its way.
func (s *side) abort() {
	if s.closed {
		return
	}
	s.closed, s.way = true, nil
	s.other.reset()
}

// vanish is a side whose machine has lost power: nobody is told anything.
func (s *side) vanish() { s.closed, s.way, s.silent = true, nil, true }

// cut cuts a way, heal opens it again. Cuts of one way add up.
func (w *world) cut(x way) { w.cuts[x]++ }

func (w *world) heal(x way) {
	if w.cuts[x]--; w.cuts[x] > 0 {
		return
	}
	delete(w.cuts, x)
	for s := range w.sides() {
		if s.host != x.from || s.other.host != x.to {
			continue
		}
		s.move()
		if s.closed && !s.silent && !s.other.done() && len(s.way) == 0 {
			s.other.reset() // its fin or reset did not get through
		}
	}
}

// died closes what a process had open: by its kernel, after what was sent or
// instead of it, or not at all if the machine lost power.
func (w *world) died(p *process, power bool) {
	w.conns = slices.DeleteFunc(w.conns, func(c *conn) bool {
		for _, s := range c.sides {
			switch {
			case s.p != p || s.closed:
			case s.told:
				s.closed = true
			case power:
				s.vanish()
			case w.net.IntN(2) == 0:
				s.close()
			default:
				s.abort()
			}
		}
		return c.sides[0].done() && c.sides[1].done() // nobody has it any more
	})
}

// booted has what was silent since a power cut answer again: with a reset, to whoever still sends.
func (w *world) booted(p *process) {
	for s := range w.sides() {
		if s.p == p && s.silent {
			s.silent = false
			if len(s.other.way) == 0 && w.net.IntN(2) == 0 {
				s.other.reset()
			}
		}
	}
}
