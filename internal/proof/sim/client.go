package sim

import (
	"errors"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// Bounds of a connection, as the client has them.
const (
	dialTimeout  = 2 * time.Second
	logonTimeout = 5 * time.Second
	stableAfter  = 5 * time.Second
)

var (
	errDial    = errors.New("no connection")
	errTimeout = errors.New("timed out")
	errGap     = errors.New(reasonGap)
	errName    = errors.New(reasonNameInUse)
)

// A caller is what publishers and subscribers have in common: it connects to
// one server after the other, as the order says.
type caller struct {
	process
	order *clientcore.Order
	names clientcore.NameRule
	s     *side // nil: not connected
	in    frames
	epoch int // of the connection
	began time.Duration
	up    bool // logged on

	connected func() // say who you are
	took      func(m *wire.Message)
	drained   func()                         // a packet has been taken in
	gone      func(cause error) (again bool) // true: connect to the same server at once
	server    *instance
	last      clientcore.Ending
}

func (c *caller) init(w *world, name string) {
	c.process = process{w: w, name: name}
}

// launch begins to connect, in a new run of the process.
func (c *caller) launch() {
	w := c.w
	c.begin()
	w.booted(&c.process)
	c.s, c.up, c.last = nil, false, clientcore.EndNone
	n := 0
	for _, i := range w.instances {
		if !i.spare {
			n++
		}
	}
	c.order = clientcore.NewOrder(n, false, w.net.Float64)
	c.next(0)
	c.beat()
}

// next connects to the next server.
func (c *caller) next(least time.Duration) {
	server, delay := c.order.Next(c.last, nil)
	c.w.after(max(least, time.Duration(delay)), &c.process, 'c', func() { c.connect(c.w.instances[server]) })
}

func (c *caller) connect(i *instance) {
	w := c.w
	c.server, c.up, c.began = i, false, w.now
	c.epoch++
	epoch := c.epoch
	reach, back := w.reachable(c.name, i.name), w.reachable(i.name, c.name)
	switch {
	case reach && back && !i.alive:
		w.after(w.latency(), &c.process, 'C', func() { c.ended(errDial) })
		return
	case !reach || !back || i.stopped && w.net.IntN(4) == 0:
		w.after(dialTimeout, &c.process, 'C', func() { c.ended(errDial) })
		return
	}
	ours := w.connect(&c.process, &i.process, i.clientConnects)
	c.s = ours
	ours.take = func(packet any) {
		c.in.each(packet.([]byte), func(m *wire.Message) bool {
			if c.s == ours {
				c.take(m)
			}
			return c.s == ours
		})
		if c.s == ours && c.drained != nil {
			c.drained()
		}
	}
	ours.lost = func(cause error) {
		if c.s == ours {
			c.ended(cause)
		}
	}
	w.after(logonTimeout, &c.process, 'T', func() {
		if c.epoch == epoch && !c.up && c.s == ours {
			c.ended(errTimeout)
		}
	})
	c.connected()
}

func (c *caller) take(m *wire.Message) {
	ends := m.Command == wire.Ack && m.Acks == wire.AckProcessed && len(m.CommandID) == 0 && string(m.Status) == wire.StatusFailure
	switch {
	case ends && string(m.Reason) == reasonGap:
		c.ended(errGap)
	case ends:
		c.ended(errName)
	default:
		c.took(m)
	}
}

// send sends a command.
func (c *caller) send(appendTo func([]byte) []byte) { c.s.send(appendTo(nil)) }

// isLogonAck reports whether m is the answer to a logon.
func isLogonAck(m *wire.Message) bool {
	return m.Command == wire.Ack && m.Acks == wire.AckProcessed && string(m.CommandID) == logonID
}

// logonID is the command id of a logon.
const logonID = "0"

// ended is the end of a connection, or of the attempt to make one.
func (c *caller) ended(cause error) {
	w := c.w
	if c.s != nil {
		c.s.close()
		c.s = nil
	}
	lived := c.up && w.now-c.began >= stableAfter
	c.up = false
	w.say("%s: %s is gone: %v", c.name, c.server.name, cause)
	if c.gone(cause) {
		c.connect(c.server)
		return
	}
	c.last = clientcore.EndFailed
	if lived {
		c.last = clientcore.EndStable
	}
	least := time.Duration(0)
	if errors.Is(cause, errName) {
		wait, _ := c.names.InUse(int64(w.now))
		least = time.Duration(wait)
	}
	c.next(least)
}

// beat keeps the connection alive and finds out when it isn't.
func (c *caller) beat() {
	w := c.w
	if c.s != nil && c.up {
		if w.now-c.s.heard >= 2*clientBeat {
			c.ended(errTimeout)
		} else {
			c.send((&wire.HeartbeatCommand{Options: wire.HeartbeatBeat}).AppendTo)
		}
	}
	w.after(clientBeat/2, &c.process, 'b', c.beat)
}

// die ends the process.
func (c *caller) die(power bool) {
	c.w.died(&c.process, power)
	c.end()
	c.s, c.up = nil, false
}
