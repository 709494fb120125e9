package sim

import (
	"errors"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// Bounds of a connection, as the client has them.
const (
	dialTimeout     = 2 * time.Second
	logonTimeout    = 5 * time.Second
	recoveryTimeout = time.Minute
	windowMessages  = 64      // messages in flight
	windowBytes     = 1 << 20 // of them
	packetBytes     = 2 << 10 // of publishes
)

var (
	errDial       = errors.New("no connection")
	errTimeout    = errors.New("timed out")
	errPreferred  = errors.New("another server is preferred")
	errNoSyncLink = errors.New("no synchronous link leads there")
)

// A client is the process of an application: it carries events between its
// network, its store and the cores of package client.
type client struct {
	process
	app        application
	user       string // empty: none
	order      *clientcore.ServerOrder
	core       *clientcore.Session
	store      pubstore.Store
	server     *instance // chosen last
	lastEnding clientcore.Ending

	conn       *endpoint // nil: not connected
	in         frameReader
	serverInfo clientcore.Server
	sender     *clientcore.Sender // nil: not logged on
	loggedOnAt time.Duration      // it was logged on
	live       bool               // recovery is complete
	nextLook   time.Duration      // of the next look
}

// An application is the publisher or subscriber that a client runs for.
type application interface {
	acceptsServer(to *clientcore.Server) bool
	onGroup(m *wire.Message)           // the group of a server
	attach()                           // put the subscriptions on the wire
	onDisconnect()                     // the connection is gone
	onFrame(m *wire.Message)           // a frame that is not the session's
	handleQueued()                     // the messages in the queue
	letGo(life string, through uint64) // the store will
	rejected(r clientcore.Rejection)   // tell the application
}

func (c *client) init(w *world, name string, app application) {
	c.process, c.app = process{w: w, name: name}, app
}

// launch begins a run of the process, with a store, and to connect.
func (c *client) launch(store pubstore.Store) {
	w := c.w
	c.beginRun()
	w.answerStale(&c.process)
	c.conn, c.sender, c.live, c.lastEnding, c.nextLook = nil, nil, false, clientcore.EndNone, 0
	c.store = store
	c.core = clientcore.NewSession(store.Lives(), windowMessages, windowBytes, recoveryTimeout)
	servers := 2
	if _, publishes := c.app.(*publisher); publishes && w.settings.publishToSpare {
		servers = len(w.instances)
	}
	c.order = clientcore.NewServerOrder(servers, false, w.net.Float64)
	c.connectNext(0)
	c.heartbeat()
}

// connectNext connects to the next server.
func (c *client) connectNext(least time.Duration) {
	server, delay := c.order.Next(c.lastEnding, nil)
	c.w.after(max(least, time.Duration(delay)), &c.process, 'c', func() { c.connect(c.w.instances[server]) })
}

func (c *client) connect(i *instance) {
	w := c.w
	if i.spare && w.faultsOver {
		i = w.instances[0]
	}
	c.server = i
	c.core.Connect(i.name, i.name, c.store.Lives())
	reach, back := w.reachable(c.name, i.name), w.reachable(i.name, c.name)
	switch {
	case reach && back && !i.alive:
		w.after(w.latency(), &c.process, 'C', func() { c.connectionEnded(errDial) })
		return
	case !reach || !back || i.stopped && w.net.IntN(4) == 0:
		w.after(dialTimeout, &c.process, 'C', func() { c.connectionEnded(errDial) })
		return
	}
	ours := w.connect(&c.process, &i.process, i.accept)
	c.conn = ours
	ours.onPacket = func(packet any) { c.onPacket(ours, packet.([]byte)) }
	ours.onLost = func(cause error) {
		if c.conn == ours {
			c.connectionEnded(cause)
		}
	}
	w.after(logonTimeout, &c.process, 'T', func() {
		if c.conn == ours && c.sender == nil {
			c.connectionEnded(errTimeout)
		}
	})
	c.logon()
}

func (c *client) logon() {
	counter, err := c.store.Logon(c.name)
	c.checkStoreError(err)
	c.core.Logon(c.name, "", "", counter, c.store.Rejected(c.core.LifeID(), c.core.RejectedFrom(), wire.MaxSpans))
	c.core.StateGroup(c.store.Group())
	cmd := c.core.Credentials(c.user, "")
	c.send(cmd.AppendTo)
}

// send sends a command.
func (c *client) send(appendTo func([]byte) []byte) { c.conn.send(appendTo(nil)) }

// onPacket takes in a packet.
func (c *client) onPacket(on *endpoint, packet []byte) {
	c.in.each(packet, func(m *wire.Message) bool {
		if c.conn == on {
			c.handleFrame(m)
		}
		return c.conn == on
	})
	if c.conn == on {
		c.app.handleQueued()
	}
}

func (c *client) handleFrame(m *wire.Message) {
	if m.Command != wire.Ack || len(m.SubID) > 0 {
		c.app.onFrame(m)
		return
	}
	e, err := c.core.HandleAck(m)
	switch {
	case err != nil:
		c.connectionEnded(err)
	case e.Kind == clientcore.EventAccepted:
		c.onLogon(m)
	case e.Kind == clientcore.EventAcked:
		c.applyAck(&e)
	case e.Kind == clientcore.EventRejected:
		c.app.rejected(e.Rejection)
	}
}

func (c *client) onLogon(m *wire.Message) {
	c.serverInfo = c.core.Server()
	if !c.app.acceptsServer(&c.serverInfo) {
		c.leaveUnreachable()
		return
	}
	b, err := c.core.BeginPublishing(m, c.w.clock())
	if err != nil {
		c.connectionEnded(err)
		return
	}
	c.app.letGo(b.Life.ID, b.LetGo)
	c.app.onGroup(m)
	sender, err := b.Apply(c.store, c.core, false)
	if err != nil {
		if b.RolledBack {
			c.w.counts.RollBacks++
		}
		c.checkStoreError(err)
		c.connectionEnded(err)
		return
	}
	c.w.logf("%s: on %s as %s, safe %d, have %d", c.name, c.server.name, b.Life.ID, m.Sequence, m.Have)
	c.sender, c.loggedOnAt = sender, c.w.now
	c.core.StartTimers(c.w.clock())
	c.send((&wire.HeartbeatCommand{Options: wire.HeartbeatStart(clientHeartbeat)}).AppendTo)
	c.fill()
	if on := c.conn; c.server.spare {
		c.w.after(between(c.w.load, time.Second, 4*time.Second), &c.process, 'o', func() {
			if c.conn == on {
				c.connectionEnded(errPreferred)
			}
		})
	}
}

// leaveUnreachable leaves a server to which no synchronous link leads from the last one,
// which must have been one that did not replicate back.
func (c *client) leaveUnreachable() {
	if !c.w.hadOneWay {
		c.w.oracle.violate("%s can't move to %s: no synchronous link leads there", c.name, c.server.name)
	}
	c.connectionEnded(errNoSyncLink)
}

// checkStoreError notes an error of the store.
func (c *client) checkStoreError(err error) {
	if !errors.Is(err, clientcore.ErrFormerLifeDone) && !errors.Is(err, clientcore.ErrRolledBack) {
		c.w.oracle.checkError(err, c.name, "its store")
	}
}

// applyAck applies an ack.
func (c *client) applyAck(e *clientcore.Event) {
	c.app.letGo(e.Ack.Life, e.Ack.LetGo)
	c.checkStoreError(e.Ack.Apply(c.store))
	if e.Ack.WindowOpened {
		c.fill()
		return
	}
	c.stepIfDue()
}

// fill sends as far as store and window allow.
func (c *client) fill() {
	if c.sender == nil {
		return
	}
	for {
		packet, err := c.sender.Fill(nil, packetBytes)
		if len(packet) > 0 {
			c.conn.send(packet)
		}
		if errors.Is(err, clientcore.ErrRestate) {
			c.connectionEnded(err)
			return
		}
		c.checkStoreError(err)
		if len(packet) == 0 {
			break
		}
	}
	c.stepIfDue()
}

// stepIfDue takes the steps that are due, if there may be new ones.
func (c *client) stepIfDue() {
	if c.sender != nil && c.core.NeedsRecheck() {
		c.step()
	}
}

func (c *client) step() {
	l, err := c.core.DueSteps(c.w.clock(), c.store.Lives())
	if err != nil {
		c.connectionEnded(err)
		return
	}
	if l.Attach {
		c.app.attach()
	}
	c.live = c.live || l.Live
	c.alarm(&c.nextLook, c.core.NextDue().Sub(c.w.clock()), 'y', func() {
		if c.sender != nil {
			c.step()
		}
	})
	c.stepIfDue()
}

// connectionEnded is the end of a connection, or of the attempt to make one.
func (c *client) connectionEnded(cause error) {
	w := c.w
	lived := c.sender != nil && w.now-c.loggedOnAt >= clientcore.StableAfter
	c.w.logf("%s: %s is gone: %v", c.name, c.server.name, cause)
	c.disconnect()
	l := c.core.Ended(cause, w.clock(), c.store.Lives())
	if l.Renew {
		c.checkStoreError(c.store.Renew())
	}
	c.checkStoreError(l.Apply(c.store, func(r *clientcore.Rejection, _ *pubstore.Message) { c.app.rejected(*r) }))
	switch {
	case l.ReconnectNow:
		c.connect(c.server)
		return
	case lived:
		c.lastEnding = clientcore.EndStable
	default:
		c.lastEnding = clientcore.EndFailed
	}
	c.connectNext(l.Wait)
}

// disconnect closes the connection.
func (c *client) disconnect() {
	if c.sender != nil {
		c.sender.Close()
		c.sender, c.live = nil, false
	}
	if c.conn != nil {
		c.conn.close()
		c.conn = nil
	}
	c.app.onDisconnect()
}

// heartbeat keeps the connection alive and notices when it is dead.
func (c *client) heartbeat() {
	w := c.w
	if c.sender != nil {
		if w.now-c.conn.lastHeard >= 2*clientHeartbeat {
			c.connectionEnded(errTimeout)
		} else {
			c.send((&wire.HeartbeatCommand{Options: wire.HeartbeatBeat}).AppendTo)
		}
	}
	w.after(clientHeartbeat/2, &c.process, 'b', c.heartbeat)
}

// die ends the process.
func (c *client) die(power bool) {
	if c.sender != nil {
		c.sender.Close()
	}
	c.w.closeConnections(&c.process, power)
	c.endRun()
	c.conn, c.sender = nil, nil
}
