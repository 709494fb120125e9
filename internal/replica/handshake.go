package replica

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

const (
	// strangerTimeout bounds the time from accepting a connection until the peer's hello is
	// proven, however slowly the bytes arrive.
	strangerTimeout = 2 * time.Second
	// helloTimeout bounds a handshake including the states of all publishers.
	helloTimeout = 30 * time.Second
)

// A stage of a handshake is named after the frame that the peer sends next. Both sides send the
// same frames; only the order of open and proof differs.
type stage uint8

const (
	awaitsOpen  stage = iota
	awaitsProof       // the proof that the peer knows the secret
	awaitsHello
	awaitsHelloProof // the proof that the hello is its own
	awaitsStates
	handshakeDone
)

// A handshakeState is the state of the handshake at the beginning of a connection. It belongs to
// the goroutine that reads.
type handshakeState struct {
	stage      stage
	auth       *authenticator
	deadline   time.Time   // the connection is closed then unless the handshake is done
	hello      *Hello      // the peer's hello, as far as it has arrived
	owners     helloOwners // those in the states so far
	identified bool        // the peer is known, but perhaps not linked yet
	mayExplain bool        // a refusal to the peer states its reason; set before the connection ends
}

// helloOwners are the different owners in the states of a hello. Equal ones share their memory.
type helloOwners struct {
	names map[string]string // each by itself
	bytes int               // their length together
}

func (c *conn) newHandshakeState() handshakeState {
	var ours nonce
	_, _ = rand.Read(ours[:]) // never fails
	timeout := strangerTimeout
	if c.dialled {
		timeout = helloTimeout
	}
	var secrets [][]byte
	if c.l.o.Secrets != nil {
		secrets = c.l.o.Secrets()
	}
	return handshakeState{auth: newAuthenticator(secrets, c.dialled, ours), deadline: time.Now().Add(timeout)}
}

// stages lists for each stage the next frame, the limit of its payload, and its handler.
var stages = [...]struct {
	frame frameType
	limit int
	take  func(*conn, *decoder) error
}{
	awaitsOpen:       {frameOpen, openLimit, (*conn).handleOpen},
	awaitsProof:      {frameProof, openLimit, (*conn).handleProof},
	awaitsHello:      {frameHello, helloLimit, (*conn).handleHello},
	awaitsHelloProof: {frameProof, helloLimit, (*conn).handleHelloProof},
	awaitsStates:     {frameStates, statesLimit, (*conn).handleStates},
	handshakeDone:    {limit: frameLimit},
}

// limit returns the limit of the next payload.
func (c *conn) limit() int { return stages[c.stage].limit }

// startHandshake sends the open frame if this side has dialled. The dialled side sends nothing
// first, so a stranger that connects to the port learns nothing.
func (c *conn) startHandshake() {
	if c.dialled {
		c.sendOpen()
	}
}

// handleHandshakeFrame handles a frame that arrives before the handshake is done.
func (c *conn) handleHandshakeFrame(t frameType, d *decoder) error {
	switch next := stages[c.stage]; t {
	case frameRefuse:
		return c.handleRefusal(d)
	case next.frame:
		return next.take(c, d)
	}
	return fmt.Errorf("%w: unexpected type %d in the handshake", errFrame, t)
}

// handleRefusal handles a refusal by the peer. Only a peer that has proven itself is believed when
// it says that this instance had no part in its decree.
func (c *conn) handleRefusal(d *decoder) error {
	err := readRefusal(d)
	if r, ok := errors.AsType[*RefusedError](err); ok && c.stage > awaitsProof && r.Code == refuseIncarnation {
		c.l.becomeOutdated(r.Reason)
	}
	return err
}

func (c *conn) handleOpen(d *decoder) error {
	var theirs openFrame
	if err := d.body(&theirs); err != nil {
		return err
	}
	if theirs.version != protocolVersion {
		return refused("link version %d instead of %d", theirs.version, protocolVersion)
	}
	c.auth.setPeerNonce(theirs.nonce)
	c.stage = awaitsProof
	if c.dialled {
		return nil
	}
	c.sendOpen()
	c.sendProof()
	return nil
}

func (c *conn) handleProof(d *decoder) error {
	if err := c.checkProof(d); err != nil {
		return err
	}
	c.stage, c.mayExplain = awaitsHello, c.l.o.Secrets != nil || c.l.o.VerifyPeer != nil
	if !c.dialled {
		return nil
	}
	c.sendProof()
	c.sendHello(c.expect)
	return nil
}

func (c *conn) handleHello(d *decoder) error {
	c.hello = new(Hello)
	if err := d.body(c.hello); err != nil {
		return err
	}
	c.auth.addHello(d.data)
	c.stage = awaitsHelloProof
	return nil
}

// handleHelloProof admits or refuses the peer. A refused peer's states are not read, and it gets
// none of ours, because there may be millions.
func (c *conn) handleHelloProof(d *decoder) error {
	if err := c.checkProof(d); err != nil {
		return err
	}
	if err := c.checkHello(c.hello); err != nil {
		return err
	}
	c.mayExplain = true // it gets our states now
	if err := c.joinCluster(); err != nil {
		return err
	}
	if err := c.reconcileDecree(c.hello); err != nil {
		return err
	}
	c.stage, c.deadline = awaitsStates, time.Now().Add(helloTimeout)
	if !c.dialled {
		c.sendHello(c.l.peer(c.hello.Name))
	}
	return c.sendStates()
}

func (c *conn) handleStates(d *decoder) error {
	known := len(c.hello.States)
	f := statesFrame{states: c.hello.States}
	if err := d.body(&f); err != nil {
		return err
	}
	if err := c.shareOwners(f.states[known:]); err != nil {
		return err
	}
	c.hello.States = f.states
	// Each publisher may come only once, so a hello is no longer than a table of publishers.
	if added := c.hello.States[max(known-1, 0):]; !ascending(added) && !failpoint.On(failpoint.R2StatesRepeat) {
		return refused("the publishers of the hello are not in order")
	}
	if !f.last {
		return nil
	}
	return c.completeHandshake(c.hello)
}

// shareOwners makes equal owners in the states of a hello share their memory. It returns an error if
// the different ones are too long together.
func (c *conn) shareOwners(states []journal.PublisherState) error {
	if c.owners.names == nil {
		c.owners.names = make(map[string]string)
	}
	for i := range states {
		name := states[i].Owner
		if known, shared := c.owners.names[name]; shared {
			states[i].Owner = known
			continue
		}
		if c.owners.bytes += len(name); c.owners.bytes > maxOwners {
			return refused("the owners of publishers in the hello of %q are longer than %d bytes together", c.hello.Name, maxOwners)
		}
		c.owners.names[name] = name
	}
	return nil
}

// ascending reports whether the publishers' ids ascend strictly.
func ascending(states []journal.PublisherState) bool {
	for i := range states[:max(len(states)-1, 0)] {
		if states[i].Publisher >= states[i+1].Publisher {
			return false
		}
	}
	return true
}

// completeHandshake begins the link with a peer whose hello is complete.
func (c *conn) completeHandshake(theirs *Hello) error {
	if c.l.Cluster() == "" {
		return refused("the handshake of %q with %q has brought no cluster id", theirs.Name, c.l.o.Name)
	}
	c.stage, c.mayExplain, c.theirs, c.owners = handshakeDone, true, theirs, helloOwners{}
	c.mu.Lock()
	c.link.Begin(theirs, c.topicFilter())
	c.mu.Unlock()
	return c.l.connected(c)
}

func (c *conn) checkProof(d *decoder) error {
	var proof proofFrame
	if err := d.body(&proof); err != nil {
		return err
	}
	if err := c.auth.verify(proof); err != nil {
		return refused("%v", err)
	}
	return nil
}

// checkHello returns an error if the peer that sent the hello must not be linked.
func (c *conn) checkHello(theirs *Hello) error {
	expect, ours := "", c.ours
	if c.dialled {
		expect = c.expect.name
	} else {
		ours = c.l.hello(c.l.peer(theirs.Name))
	}
	if c.l.o.VerifyPeer != nil {
		if err := c.l.o.VerifyPeer(c.nc, theirs.Name); err != nil {
			return refused("%v", err)
		}
	}
	if failpoint.On(failpoint.R14PermissionsCutLink) && theirs.Permissions.differ(ours.Permissions) {
		return refused("%q has other permissions of users", theirs.Name)
	}
	known := c.l.peer(theirs.Name) != nil
	return CheckPeer(ours, theirs, expect, known)
}

// sendOpen sends our nonce.
func (c *conn) sendOpen() {
	c.queueHandshake(newFrame(frameOpen, &openFrame{protocolVersion, c.auth.nonces[c.auth.index(c.dialled)]}))
}

// sendProof sends our proof.
func (c *conn) sendProof() {
	proof := c.auth.prove()
	c.queueHandshake(newFrame(frameProof, (*proofFrame)(&proof)))
}

// sendHello sends our hello to a peer, and the proof of the hello.
func (c *conn) sendHello(p *peer) {
	c.ours = c.l.hello(p)
	hello := newFrame(frameHello, c.ours)
	c.auth.addHello(hello[frameHeader:])
	c.queueHandshake(hello)
	c.sendProof()
}

// sendStates lets the sender send our states. From here on the connection collects the sequences
// that become durable, so that none after the states is missed.
func (c *conn) sendStates() error {
	replaced, ok := c.l.register(c)
	if !ok {
		return ErrClosed
	}
	c.l.pending.remove(c)
	for _, o := range replaced {
		o.closeWith(errors.New("the peer has dialled again"))
	}
	c.ours.States = c.l.o.Journal.States()
	close(c.statesReady)
	c.out.Wake()
	return nil
}

// queueHandshake queues a frame of the handshake. There are only a few.
func (c *conn) queueHandshake(frame []byte) {
	c.mu.Lock()
	c.handshakeFrames = append(c.handshakeFrames, frame)
	c.mu.Unlock()
	c.out.Wake()
}

// register makes Durable report to a connection whose peer is known. replaced are earlier
// connections that the same peer has dialled without completing the handshake.
func (l *Links) register(c *conn) (replaced []*conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false
	}
	for _, o := range l.conns {
		if o.peer == nil && !o.dialled && !c.dialled && o.name == c.hello.Name {
			replaced = append(replaced, o)
		}
	}
	c.name, c.identified = c.hello.Name, true
	l.conns = append(l.conns, c)
	return replaced, true
}

func without(list []*conn, c *conn) []*conn {
	return slices.DeleteFunc(list, func(o *conn) bool { return o == c })
}
