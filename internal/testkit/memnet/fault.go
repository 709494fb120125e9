package memnet

// Cut cuts both directions between two hosts. Open connections go silent: nothing
// arrives, no error is seen, and dialing waits.
func (n *Network) Cut(a, b string) {
	n.CutOneWay(a, b)
	n.CutOneWay(b, a)
}

// CutOneWay cuts the direction from one host to another. Nothing can be dialled
// between the two, as that takes both directions.
func (n *Network) CutOneWay(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.directionLocked(direction{from, to}).cut = true
}

// CutAfter cuts both directions between two hosts when so many more bytes have
// arrived from the first at the second. 0 is at once.
func (n *Network) CutAfter(from, to string, bytes int64) {
	n.faultAfter(direction{from, to}, bytes, func(w direction) {
		n.directionLocked(w).cut = true
		n.directionLocked(w.reverse()).cut = true
	})
}

// ResetAfter resets the connections between two hosts when so many more bytes
// have arrived from the first at the second; these can still be read.
func (n *Network) ResetAfter(from, to string, bytes int64) {
	n.faultAfter(direction{from, to}, bytes, func(w direction) { n.resetLocked(w, false) })
}

// FinAfter ends the connections of the first host to the second, as a FIN does, when so
// many more bytes have arrived. The other direction stays open until an end closes it.
func (n *Network) FinAfter(from, to string, bytes int64) {
	n.faultAfter(direction{from, to}, bytes, func(w direction) {
		for _, c := range n.conns {
			if c.out.direction == w && c.out.ended == open {
				c.out.buf = c.out.buf[:c.out.arrived]
				c.endLocked(fin)
				c.cond.Broadcast()
			}
		}
	})
}

// ResetEvery is ResetAfter again and again, until Heal.
func (n *Network) ResetEvery(from, to string, bytes int64) {
	var again func(w direction)
	again = func(w direction) {
		n.resetLocked(w, false)
		s := n.directionLocked(w)
		s.faultAt, s.fault = s.delivered+bytes, again
	}
	n.faultAfter(direction{from, to}, bytes, again)
}

// faultAfter replaces the fault that was waiting on that direction, if any.
func (n *Network) faultAfter(w direction, bytes int64, fault func(direction)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if bytes <= 0 {
		fault(w)
		return
	}
	s := n.directionLocked(w)
	s.faultAt, s.fault = s.delivered+bytes, fault
}

// Heal opens both directions between two hosts. Bytes sent meanwhile arrive now. Faults
// that have not happened yet are cancelled.
func (n *Network) Heal(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := direction{a, b}
	for _, w := range []direction{w, w.reverse()} {
		s := n.directionLocked(w)
		s.cut, s.faultAt, s.fault = false, 0, nil
	}
	n.flowAllLocked()
}

// Reset resets the open connections between two hosts. Bytes sent and not read are lost.
func (n *Network) Reset(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.resetLocked(direction{a, b}, true)
}

func (n *Network) resetLocked(w direction, drop bool) {
	for _, c := range n.conns {
		if c.out.direction == w || c.in.direction == w {
			c.resetLocked(drop)
		}
	}
}

// Kill ends the process on a host as kill -9 does: its listeners are gone, its
// connections are closed by the host's kernel. The process's own calls fail
// with net.ErrClosed from now on. Host returns a new process.
func (n *Network) Kill(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[host]
	if h == nil {
		return
	}
	delete(n.hosts, host)
	h.dead, h.paused = true, false
	for _, l := range n.listenersLocked(h) {
		l.closeLocked()
	}
	for _, c := range append([]*conn(nil), n.conns...) {
		if c.host == h {
			c.closeLocked(c.in.arrived > 0)
		}
	}
	n.changed.Broadcast()
}

// Pause stops the process on a host as SIGSTOP does: its calls don't return, its bytes
// don't arrive, and its deadlines don't pass. Its kernel still takes connections and
// bytes until the buffers are full.
func (n *Network) Pause(host string) {
	h := n.Host(host)
	n.mu.Lock()
	defer n.mu.Unlock()
	h.paused = true
}

// Resume lets a paused process run again.
func (n *Network) Resume(host string) {
	h := n.Host(host)
	n.mu.Lock()
	defer n.mu.Unlock()
	h.paused = false
	for _, l := range n.listenersLocked(h) {
		l.cond.Broadcast()
	}
	n.flowAllLocked()
}

func (n *Network) listenersLocked(h *Host) []*listener {
	var ls []*listener
	for _, l := range n.listeners {
		if l.h == h {
			ls = append(ls, l)
		}
	}
	return ls
}

// flowAllLocked lets bytes arrive everywhere, and wakes all waiting calls.
func (n *Network) flowAllLocked() {
	for _, c := range n.conns {
		c.out.flowLocked()
		c.cond.Broadcast()
	}
	n.changed.Broadcast()
}
