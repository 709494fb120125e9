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
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/outbound"
	"github.com/holdfast-mq/holdfast/internal/record"
)

// A conn is one connection to a peer, in both directions. It has two goroutines: run reads, and
// write writes. The connection ends when either fails.
type conn struct {
	l       *Links
	nc      net.Conn
	expect  *peer // the destination that was dialled; nil: the peer dialled
	dialled bool
	sender  *sender
	out     *outbound.Writer // writes the output of sender

	handshakeState
	statesReady chan struct{} // closed when our states are to be sent
	up          chan struct{} // closed when the peer is linked by this connection
	remoteHost  string        // host of the accepted connection
	name        string        // the peer's name, once its hello is proven; guarded by Links.mu

	// run sets these fields before the channel named here is closed. Then they are read only.
	ours   *Hello // statesReady
	theirs *Hello // up
	peer   *peer  // up; guarded by Links.mu before

	outbox
	receiveBuffers
	ending

	mu              sync.Mutex
	handshakeFrames [][]byte // frames of the handshake; guarded by mu
	peerView
}

// A peerView has this side's knowledge of the publishers at the peer. It is guarded by conn.mu.
type peerView struct {
	link    Link            // begins when the peer's hello has arrived
	leaving bookmark.Vector // publishers that the peer reports as leaving
	echo    span            // the part of the journal that holds only the newest records from this peer
}

// A span is a piece of the journal.
type span struct{ from, to journal.Position }

// An outbox holds the output of a connection other than records. It is guarded by Links.mu.
type outbox struct {
	control         [][]byte                 // other frames, sent after our states
	pending         bookmark.Vector          // durable here, to be acknowledged
	movedPublishers map[uint64]struct{}      // publishers that moved since the last heartbeat
	unacked         bookmark.Vector          // received from the peer and not yet acknowledged
	headway                                  // of both directions
	reopened        []journal.PublisherState // publishers with a session at the peer or here; the peer may not know them
}

// receiveBuffers is memory that run reuses from frame to frame.
type receiveBuffers struct {
	dec        *decoder
	moved      []bookmark.Bookmark
	batch      *journal.AppendBatch     // of a frame's records
	runBuffer  []record.OrdinaryMessage // messages of the frame that are appended together
	record     journal.Record           // a record that is appended by itself
	publishers []uint64
}

// An ending is the state of a connection's end.
type ending struct {
	once  sync.Once
	cause error         // set before done is closed
	done  chan struct{} // closed by closeWith
	ended chan struct{} // closed when both goroutines have returned
}

func (l *Links) newConn(nc net.Conn, expect *peer) *conn {
	c := &conn{
		l: l, nc: nc, expect: expect, dialled: expect != nil,
		statesReady: make(chan struct{}), up: make(chan struct{}),
		outbox:         outbox{pending: make(bookmark.Vector), movedPublishers: make(map[uint64]struct{}), unacked: make(bookmark.Vector)},
		receiveBuffers: receiveBuffers{dec: newDecoder(), batch: l.o.Journal.NewAppendBatch()},
		peerView:       peerView{leaving: make(bookmark.Vector)},
		ending:         ending{done: make(chan struct{}), ended: make(chan struct{})},
	}
	c.handshakeState = c.newHandshakeState()
	c.sender = newSender(c)
	c.out = outbound.New(nc, c.sender, outbound.Options{Timeout: LinkTimeout(l.o.Heartbeat), MaxBuffer: 4 * batchBytes})
	return c
}

// dialler returns the name of the instance that dialled.
func (c *conn) dialler() string {
	if c.dialled {
		return c.l.o.Name
	}
	return c.theirs.Name
}

// closeWith ends the connection. Only the first cause counts. If the cause is a refusal of ours, or
// our orderly stop, the peer still gets a last frame within one heartbeat.
func (c *conn) closeWith(cause error) {
	c.once.Do(func() {
		c.cause = cause
		close(c.done)
		if c.finalFrame() != nil {
			c.out.Finish(time.Now().Add(c.l.o.Heartbeat))
		} else {
			_ = c.nc.Close()
			c.out.Wake()
		}
	})
}

// finalFrame returns the last frame for the peer, or nil. A peer that has not proven itself learns
// nothing about us. The result is valid once done is closed.
func (c *conn) finalFrame() []byte {
	r, refusal := errors.AsType[*RefusedError](c.cause)
	switch {
	case errors.Is(c.cause, ErrClosed) && isClosed(c.up) && c.l.stopping.current() == phaseDrained && !failpoint.On(failpoint.StopUntold):
		phase := phaseDrained
		return newFrame(frameStopping, &phase)
	case !refusal || r.ByPeer:
		return nil
	case !c.mayExplain && !failpoint.On(failpoint.R2TellsStrangers):
		r = &RefusedError{Code: refuseStranger}
	}
	return newFrame(frameRefuse, r)
}

// hostOf returns the host of an address.
func hostOf(a net.Addr) string {
	if a == nil {
		return ""
	}
	if host, _, err := net.SplitHostPort(a.String()); err == nil {
		return host
	}
	return a.String()
}

// ackLocked records that b is durable here. Links.mu is held.
func (c *outbox) ackLocked(b bookmark.Bookmark) {
	c.pending.Raise(b)
	c.movedPublishers[b.Publisher] = struct{}{}
	c.unacked.RemoveReached(b)
}

// queueLocked queues a frame to be sent. Links.mu is held.
func (c *conn) queueLocked(frame []byte) error {
	if len(c.control) >= maxControl {
		return fmt.Errorf("the peer does not read: %d frames are queued for it", len(c.control))
	}
	c.control = append(c.control, frame)
	c.out.Wake()
	return nil
}

// run serves the connection until it ends, and returns the cause.
func (c *conn) run() error {
	evicted, ok := c.l.pending.add(c)
	if !ok {
		_ = c.nc.Close()
		return ErrClosed
	}
	if evicted != nil {
		evicted.closeWith(errTooManyStrangers)
	}
	var writer sync.WaitGroup
	writer.Go(c.write)
	c.closeWith(c.read())
	writer.Wait()
	c.linger()
	_ = c.nc.Close()
	c.l.disconnected(c, c.cause)
	close(c.ended)
	return c.cause
}

// errTooManyStrangers is the cause with which a connection ends to make room for others.
var errTooManyStrangers = errors.New("too many connections that have not authenticated")

// linger reads on after it has sent a last frame. Closing at once would reset the connection, and
// the peer would not read the frame.
func (c *conn) linger() {
	if c.finalFrame() == nil {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(c.l.o.Heartbeat))
	_, _ = io.Copy(io.Discard, c.nc)
}

// A timeoutReader reads from a connection. It fails if nothing arrives for too long.
type timeoutReader struct{ c *conn }

func (r timeoutReader) Read(b []byte) (int, error) {
	if !failpoint.On(failpoint.HeartbeatsIgnored) {
		deadline := time.Now().Add(LinkTimeout(r.c.l.o.Heartbeat))
		if r.c.stage < handshakeDone && deadline.After(r.c.deadline) {
			deadline = r.c.deadline
		}
		if err := r.c.nc.SetReadDeadline(deadline); err != nil {
			return 0, err
		}
	}
	return r.c.nc.Read(b)
}

// read handles the incoming frames, beginning with the handshake.
func (c *conn) read() error {
	frames := &frameReader{r: bufio.NewReaderSize(timeoutReader{c}, readStep)}
	c.startHandshake()
	for {
		frames.limit = c.limit()
		payload, err := frames.next()
		if err != nil {
			return c.explainReadError(err)
		}
		if err := c.handleFrame(payload); err != nil {
			return err
		}
		select {
		case <-c.done:
			return c.cause
		default:
		}
	}
}

// topicFilter returns the filter for the topics that we send to the peer; nil: all.
func (c *conn) topicFilter() func(topic []byte) bool {
	if p := c.l.peer(c.theirs.Name); p.outbound() {
		return p.carries
	}
	return nil
}

// explainReadError explains an error of reading a frame. A malformed frame is refused. Silence
// means that the link is lost.
func (c *conn) explainReadError(err error) error {
	netErr, ok := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, errFrame), errors.Is(err, errFrameTooLong), errors.Is(err, errFrameCRC):
		return &RefusedError{Code: refuseRecord, Reason: err.Error()}
	case ok && netErr.Timeout():
		return fmt.Errorf("link lost: no sign of the peer for %v", LinkTimeout(c.l.o.Heartbeat))
	}
	return fmt.Errorf("link lost: %w", err)
}

// readRefusal reads the refuse frame in d and returns it as an error.
func readRefusal(d *decoder) error {
	r := &RefusedError{ByPeer: true}
	if err := d.body(r); err != nil {
		return err
	}
	return r
}
