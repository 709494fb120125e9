package replica

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

const (
	// strangerTimeout bounds how long a connection that was accepted may take for its
	// hello and the proof of it, however it trickles.
	strangerTimeout = 2 * time.Second
	// helloTimeout bounds a handshake with the states of all publishers.
	helloTimeout = 30 * time.Second
)

// A stage of a greeting is the frame that the peer sends next. Both sides send the
// same frames; only who opens and who proves itself first differs.
type stage uint8

const (
	awaitsOpen   stage = iota
	awaitsProof        // that it knows the secret
	awaitsHello        //
	awaitsSeal         // the proof that the hello is its own
	awaitsStates       //
	metPeer
)

// A greeting is how a connection begins. It belongs to the goroutine that reads.
type greeting struct {
	stage     stage
	shake     *handshake
	by        time.Time // else the connection is closed
	hello     *Hello    // the peer's, as far as it has come
	collected bool      // its peer is known, though it may not be linked yet
	tells     bool      // it is a peer that is told why it is refused; set before the connection fails
}

func (c *conn) newGreeting() greeting {
	var ours nonce
	_, _ = rand.Read(ours[:]) // never fails
	timeout := strangerTimeout
	if c.dialled {
		timeout = helloTimeout
	}
	return greeting{shake: newHandshake(c.l.o.Secret, c.dialled, ours), by: time.Now().Add(timeout)}
}

// stages are the frame that comes next, how long its payload may be, and what takes it.
var stages = [...]struct {
	frame frameType
	limit int
	take  func(*conn, *decoder) error
}{
	awaitsOpen:   {frameOpen, openLimit, (*conn).takeOpen},
	awaitsProof:  {frameProof, openLimit, (*conn).takeProof},
	awaitsHello:  {frameHello, helloLimit, (*conn).takeHello},
	awaitsSeal:   {frameProof, helloLimit, (*conn).takeSeal},
	awaitsStates: {frameStates, statesLimit, (*conn).takeStates},
	metPeer:      {limit: frameLimit},
}

// limit is how long a payload may be that comes next.
func (c *conn) limit() int { return stages[c.stage].limit }

// begin has who dialled open first: whoever else comes to the port learns nothing.
func (c *conn) begin() {
	if c.dialled {
		c.open()
	}
}

// takeGreeting does what a frame of a peer says with which there is no link yet.
func (c *conn) takeGreeting(t frameType, d *decoder) error {
	switch next := stages[c.stage]; t {
	case frameRefuse:
		return c.refusedBy(d)
	case next.frame:
		return next.take(c, d)
	}
	return fmt.Errorf("%w: type %d in a greeting", errFrame, t)
}

// refusedBy takes in why the peer would not have us. That we had no part in its
// decree is believed if it has proven itself.
func (c *conn) refusedBy(d *decoder) error {
	err := refusal(d)
	if r, ok := errors.AsType[*RefusedError](err); ok && c.stage > awaitsProof && r.Code == refuseIncarnation {
		c.l.outdate(r.Reason)
	}
	return err
}

func (c *conn) takeOpen(d *decoder) error {
	var theirs openFrame
	if err := d.body(&theirs); err != nil {
		return err
	}
	if theirs.version != protocolVersion {
		return refused("link version %d, ours is %d", theirs.version, protocolVersion)
	}
	c.shake.opened(theirs.nonce)
	c.stage = awaitsProof
	if c.dialled {
		return nil
	}
	c.open()
	c.prove()
	return nil
}

func (c *conn) takeProof(d *decoder) error {
	if err := c.checkProof(d); err != nil {
		return err
	}
	c.stage, c.tells = awaitsHello, len(c.l.o.Secret) > 0
	if !c.dialled {
		return nil
	}
	c.prove()
	c.say(c.expect)
	return nil
}

func (c *conn) takeHello(d *decoder) error {
	c.hello = new(Hello)
	if err := d.body(c.hello); err != nil {
		return err
	}
	c.shake.said(d.data)
	c.stage = awaitsSeal
	return nil
}

// takeSeal admits the peer, or says why not. Who is no peer has its states not read,
// and gets none: there may be millions.
func (c *conn) takeSeal(d *decoder) error {
	if err := c.checkProof(d); err != nil {
		return err
	}
	if err := c.checkHello(c.hello); err != nil {
		return err
	}
	c.tells = true // it gets our states now
	if err := c.joinCluster(); err != nil {
		return err
	}
	if err := c.agree(c.hello); err != nil {
		return err
	}
	c.stage, c.by = awaitsStates, time.Now().Add(helloTimeout)
	if !c.dialled {
		c.say(c.l.peer(c.hello.Name))
	}
	return c.tellStates()
}

func (c *conn) takeStates(d *decoder) error {
	known := len(c.hello.States)
	f := statesFrame{states: c.hello.States}
	if err := d.body(&f); err != nil {
		return err
	}
	c.hello.States = f.states
	// Each publisher once: a hello grows no longer than what its journal may know.
	if added := c.hello.States[max(known-1, 0):]; !ascending(added) && !mut.On(mut.R2StatesRepeat) {
		return refused("the publishers of the hello are not in order")
	}
	if !f.last {
		return nil
	}
	return c.met(c.hello)
}

// ascending reports whether each publisher's id is above the one before.
func ascending(states []journal.State) bool {
	for i := range states[:max(len(states)-1, 0)] {
		if states[i].Publisher >= states[i+1].Publisher {
			return false
		}
	}
	return true
}

// met begins the link with a peer whose hello is whole.
func (c *conn) met(theirs *Hello) error {
	if c.l.Cluster() == "" {
		return refused("%q has met %q and said no cluster id", theirs.Name, c.l.o.Name)
	}
	c.stage, c.tells, c.theirs = metPeer, true, theirs
	c.mu.Lock()
	c.link.Begin(theirs, c.carries())
	c.mu.Unlock()
	return c.l.connected(c)
}

func (c *conn) checkProof(d *decoder) error {
	var proof proofFrame
	if err := d.body(&proof); err != nil {
		return err
	}
	if err := c.shake.check(proof); err != nil {
		return refused("%v", err)
	}
	return nil
}

// checkHello says what is against the peer that said hello.
func (c *conn) checkHello(theirs *Hello) error {
	expect, ours := "", c.ours
	if c.dialled {
		expect = c.expect.name
	} else {
		ours = c.l.hello(c.l.peer(theirs.Name))
	}
	known := c.l.peer(theirs.Name) != nil
	return Check(ours, theirs, expect, known)
}

// open has our nonce sent.
func (c *conn) open() {
	c.queue(newFrame(frameOpen, &openFrame{protocolVersion, c.shake.nonces[c.shake.place(c.dialled)]}))
}

// prove has our proof sent.
func (c *conn) prove() {
	proof := c.shake.prove()
	c.queue(newFrame(frameProof, (*proofFrame)(&proof)))
}

// say has our hello sent to a peer, and the proof that it is ours.
func (c *conn) say(p *peer) {
	c.ours = c.l.hello(p)
	hello := newFrame(frameHello, c.ours)
	c.shake.said(hello[frameHeader:])
	c.queue(hello)
	c.prove()
}

// tellStates has our states sent. From here on the connection collects what becomes
// durable, so that nothing is missed behind them.
func (c *conn) tellStates() error {
	old, ok := c.l.collect(c)
	if !ok {
		return ErrClosed
	}
	c.l.lobby.leave(c)
	for _, o := range old {
		o.fail(errors.New("the peer has dialled again"))
	}
	c.ours.States = c.l.o.Journal.States()
	close(c.greet)
	c.out.Wake()
	return nil
}

// queue has a frame of the greeting sent. There are few.
func (c *conn) queue(frame []byte) {
	c.mu.Lock()
	c.first = append(c.first, frame)
	c.mu.Unlock()
	c.out.Wake()
}

// collect has Durable know a connection whose peer is known. old are those that the
// peer has dialled before and not completed.
func (l *Links) collect(c *conn) (old []*conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false
	}
	for _, o := range l.conns {
		if o.peer == nil && !o.dialled && !c.dialled && o.name == c.hello.Name {
			old = append(old, o)
		}
	}
	c.name, c.collected = c.hello.Name, true
	l.conns = append(l.conns, c)
	return old, true
}

func without(list []*conn, c *conn) []*conn {
	return slices.DeleteFunc(list, func(o *conn) bool { return o == c })
}
