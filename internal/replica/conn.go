package replica

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/outbound"
)

// A conn is one connection to a peer, in both directions. Two goroutines
// belong to it: run, which reads, and write. It ends when either fails.
type conn struct {
	l       *Links
	nc      net.Conn
	expect  *peer // that was dialled; nil: it dialled us
	dialled bool
	sender  *sender
	out     *outbound.Writer // of what sender makes

	helloBy time.Time     // else it is closed
	hello   *Hello        // the peer's, as far as it has come; read's own
	greet   chan struct{} // closed when ours is to be sent
	up      chan struct{} // closed when it is its peer's connection

	// Set by run before the channel named here is closed, then read only.
	ours   *Hello // greet
	theirs *Hello // up
	peer   *peer  // up; guarded by Links.mu before

	stranger bool // accepted, and no hello yet; guarded by Links.mu
	outbox
	intake
	ending

	mu   sync.Mutex
	link *Link // what it points to is guarded by mu; set once by the reader, nil until the hello has come
}

// An outbox is what a connection has to send beside records. It is guarded by
// Links.mu.
type outbox struct {
	control  [][]byte            // frames
	pending  bookmark.Vector     // durable here, to be acknowledged
	beats    map[uint64]struct{} // publishers that moved since the last heartbeat
	received bookmark.Vector     // taken from the peer and not yet acknowledged
}

// An intake is what run uses again from frame to frame.
type intake struct {
	dec        *decoder
	moved      []bookmark.Bookmark
	batch      *journal.AppendBatch // of a frame's records
	publishers []uint64
}

// An ending is how a connection ends.
type ending struct {
	once  sync.Once
	cause error         // set before done is closed
	done  chan struct{} // closed by fail
	ended chan struct{} // closed when both goroutines are through
}

func (l *Links) newConn(nc net.Conn, expect *peer) *conn {
	c := &conn{
		l: l, nc: nc, expect: expect, dialled: expect != nil, stranger: expect == nil,
		helloBy: time.Now().Add(helloTimeout),
		greet:   make(chan struct{}), up: make(chan struct{}),
		outbox: outbox{pending: make(bookmark.Vector), beats: make(map[uint64]struct{}), received: make(bookmark.Vector)},
		intake: intake{dec: newDecoder(), batch: l.o.Journal.NewBatch()},
		ending: ending{done: make(chan struct{}), ended: make(chan struct{})},
	}
	c.sender = newSender(c)
	c.out = outbound.New(nc, c.sender, outbound.Options{Timeout: Silence(l.o.Heartbeat), Keep: 4 * batchBytes})
	return c
}

// dialler returns the name of the instance that dialled.
func (c *conn) dialler() string {
	if c.dialled {
		return c.l.o.Name
	}
	return c.theirs.Name
}

// fail ends the connection. The first cause stays. A refusal of ours is still
// told to the peer, for which it has one heartbeat.
func (c *conn) fail(cause error) {
	c.once.Do(func() {
		c.cause = cause
		close(c.done)
		if c.farewell() != nil {
			c.out.Finish(time.Now().Add(c.l.o.Heartbeat))
		} else {
			_ = c.nc.Close()
			c.out.Wake()
		}
	})
}

// farewell returns what the peer is told at the end, or nil. Valid once done is closed.
func (c *conn) farewell() *RefusedError {
	var r *RefusedError
	if errors.As(c.cause, &r) && !r.ByPeer {
		return r
	}
	return nil
}

// ackLocked notes that b is durable here. Links.mu is held.
func (c *outbox) ackLocked(b bookmark.Bookmark) {
	c.pending[b.Publisher] = max(c.pending[b.Publisher], b.Sequence)
	c.beats[b.Publisher] = struct{}{}
	if s, ok := c.received[b.Publisher]; ok && s <= b.Sequence {
		delete(c.received, b.Publisher)
	}
}

// queueLocked queues a frame to be sent. l.mu is held.
func (c *conn) queueLocked(frame []byte) error {
	if len(c.control) >= maxControl {
		return fmt.Errorf("%d frames wait to be sent", len(c.control))
	}
	c.control = append(c.control, frame)
	c.out.Wake()
	return nil
}

// run serves the connection until it ends and returns why.
func (c *conn) run() error {
	if !c.l.track(c) {
		_ = c.nc.Close()
		return ErrClosed
	}
	var writer sync.WaitGroup
	writer.Go(c.write)
	c.fail(c.read())
	writer.Wait()
	c.linger()
	_ = c.nc.Close()
	c.l.disconnected(c, c.cause)
	close(c.ended)
	return c.cause
}

// track has Close and Durable know the connection. From here on it collects
// what becomes durable, so that nothing is missed after hello's states.
func (l *Links) track(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.conns = append(l.conns, c)
	return true
}

// linger reads what the peer still sends after it was refused: closing at
// once would reset the connection and with it the reason.
func (c *conn) linger() {
	if c.farewell() == nil {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(c.l.o.Heartbeat))
	_, _ = io.Copy(io.Discard, c.nc)
}

// helloTimeout bounds how long a handshake takes, however it trickles.
const helloTimeout = 30 * time.Second

// An aliveReader reads from a connection and finds it lost when it brings
// nothing for too long.
type aliveReader struct{ c *conn }

func (r aliveReader) Read(b []byte) (int, error) {
	if !mut.On(mut.HeartbeatsIgnored) {
		by := time.Now().Add(Silence(r.c.l.o.Heartbeat))
		if r.c.link == nil && by.After(r.c.helloBy) {
			by = r.c.helloBy
		}
		if err := r.c.nc.SetReadDeadline(by); err != nil {
			return 0, err
		}
	}
	return r.c.nc.Read(b)
}

// read takes what comes, hello first.
func (c *conn) read() error {
	frames := &frameReader{r: bufio.NewReaderSize(aliveReader{c}, readStep), limit: helloLimit}
	c.begin()
	for {
		payload, err := frames.next()
		if err != nil {
			return c.broken(err)
		}
		if err := c.take(payload); err != nil {
			return err
		}
		if c.link != nil {
			frames.limit = frameLimit
		}
		select {
		case <-c.done:
			return c.cause
		default:
		}
	}
}

// begin has who dialled say hello first: whoever else comes to the port learns nothing.
func (c *conn) begin() {
	if c.dialled {
		c.say(c.expect)
	}
}

// check says what is against the peer that said hello.
func (c *conn) check(theirs *Hello) error {
	expect := ""
	if c.dialled {
		expect = c.expect.name
	} else {
		c.ours = c.l.hello(c.l.destination(theirs.Name))
	}
	return Check(c.ours, theirs, expect)
}

// met begins the link with a peer whose hello is whole.
func (c *conn) met(theirs *Hello) error {
	if !c.dialled {
		c.say(c.l.destination(theirs.Name))
	}
	c.theirs = theirs
	c.link = NewLink(theirs, c.carries())
	return c.l.connected(c)
}

// say has our hello sent.
func (c *conn) say(p *peer) {
	c.ours = c.l.hello(p)
	c.ours.States = c.l.o.Journal.States()
	close(c.greet)
	c.out.Wake()
}

// carries returns what we send to the peer; nil: all.
func (c *conn) carries() func(topic []byte) bool {
	if p := c.l.destination(c.theirs.Name); p != nil {
		return p.carries
	}
	return nil
}

// broken makes an error of reading a frame one that says what it means: a
// malformed frame is refused, silence is a lost link.
func (c *conn) broken(err error) error {
	var timeout net.Error
	switch {
	case errors.Is(err, errFrame), errors.Is(err, errFrameTooLong), errors.Is(err, errFrameCRC):
		return &RefusedError{Code: refuseRecord, Reason: err.Error()}
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("link lost: no sign of the peer for %v", Silence(c.l.o.Heartbeat))
	}
	return fmt.Errorf("link lost: %w", err)
}

// takeHello does what a frame of a peer says that is not known yet: hello,
// then its states. Who is no peer has its states not read: there may be millions.
func (c *conn) takeHello(t frameType, d *decoder) error {
	switch {
	case t == frameRefuse:
		return refusal(d)
	case c.hello == nil && t == frameHello:
		h := new(Hello)
		if err := h.decode(d); err != nil {
			return err
		}
		c.hello = h
		return c.check(h)
	case c.hello == nil || t != frameStates:
		return fmt.Errorf("%w: type %d in a hello", errFrame, t)
	}
	var last bool
	var err error
	c.hello.States, last, err = decodeStates(d, c.hello.States)
	if err != nil || !last {
		return err
	}
	return c.met(c.hello)
}

// refusal reads the refuse frame in d as an error.
func refusal(d *decoder) error {
	r, err := decodeRefuse(d)
	if err != nil {
		return err
	}
	return r
}
