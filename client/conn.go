package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/outbound"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// batchBytes is the size at which the sender writes a batch.
const batchBytes = 64 << 10

// A receiver gets the acks and messages of a connection that are routed to it by id. It is a
// subscription or the replies to a command. All methods except connLost run on the reader's
// goroutine and must never wait for the application (R12).
type receiver interface {
	// handleMessage receives a message. If the frame is too large, its body was not read: tooLarge
	// is set, and m has only the header.
	handleMessage(cn *conn, id string, m *wire.Message, tooLarge *FrameTooLargeError) error
	handleRun(cn *conn, id string, run []arrival) // messages of a stretch
	handleAck(cn *conn, id string, m *wire.Message) error
	connLost(cn *conn, err error) // the connection has ended; called on the session goroutine
}

// A route leads from an id to its receiver.
type route struct {
	receiver receiver
	id       string // key of this route
}

// A decider makes the decisions for a connection. It is the client's core, or the core of a side
// session.
type decider interface {
	Credentials(user, password string) wire.LogonCommand
	HandleAck(m *wire.Message) (clientcore.Event, error)
}

// A conn is one connection to a server, from its logon to its end. It has two goroutines, a reader
// and a sender. The session goroutine starts them and waits for them. The connection of a side
// session has no goroutines.
type conn struct {
	c    *Client
	core decider
	nc   net.Conn
	in   *input
	remote
	sending

	out     *outbound.Writer // writes the output of Fill
	ctx     context.Context  // ends when the connection ends; the cause is the reason
	cancel  context.CancelCauseFunc
	running sync.WaitGroup

	mu     sync.Mutex
	frames []byte           // encoded commands for the sender; guarded by mu
	routes map[string]route // by command id; nil: closed; guarded by mu
}

// The sending is the state of the sender's goroutine.
type sending struct {
	sender        *clientcore.Sender // set at the logon
	heartbeat     time.Duration      // between heartbeats; set by start
	nextHeartbeat time.Time
	resent        pubstore.Range // first and last message that was sent again
}

// A remote describes the server at the other end.
type remote struct {
	server       clientcore.Server // state at the logon
	info         ServerInfo        // the same state, for the application
	publisher    uint64            // id of the life of this connection; set at the logon
	reportedSync SyncStatus        // the status reported last; belongs to the session goroutine
}

func newConn(c *Client, core decider, nc net.Conn) *conn {
	cn := &conn{
		c:      c,
		core:   core,
		nc:     nc,
		in:     &input{nc: nc},
		routes: make(map[string]route),
	}
	cn.in.frames = wire.NewReader(cn.in, c.cfg.MaxFrame)
	cn.ctx, cn.cancel = context.WithCancelCause(context.Background())
	cn.out = outbound.New(nc, cn, outbound.Options{News: c.store.Appended()})
	return cn
}

// An input reads frames. It fails if nothing arrives for the idle time. It belongs to the reader.
type input struct {
	nc     net.Conn
	frames *wire.Reader
	idle   time.Duration // longest silence; 0: unlimited
	inbound
}

func (r *input) Read(p []byte) (int, error) {
	if r.idle > 0 && !failpoint.On(failpoint.HeartbeatsIgnored) {
		if err := r.nc.SetReadDeadline(time.Now().Add(r.idle)); err != nil {
			return 0, err
		}
	}
	return r.nc.Read(p)
}

// next reads and parses a frame.
func (r *input) next(m *wire.Message) error {
	frame, err := r.frames.Next()
	if err != nil {
		return r.asSilent(fmt.Errorf("read: %w", asTimeout(err)))
	}
	if err := wire.Parse(frame, m); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return nil
}

// start starts the goroutines. The caller must call close afterwards.
func (cn *conn) start() {
	cn.heartbeat = heartbeatInterval(cn.c.cfg.HeartbeatInterval, cn.server.Plain)
	cn.in.idle = 2 * cn.heartbeat
	start := wire.HeartbeatCommand{CommandID: cn.c.newID(), Options: wire.HeartbeatStart(cn.heartbeat)}
	cn.queueCommand(start.AppendTo)
	cn.running.Go(func() { cn.abort(cn.read()) })
	cn.running.Go(func() { cn.abort(cn.send()) })
}

// heartbeatInterval returns the configured interval or, for 0, the default.
func heartbeatInterval(configured time.Duration, plain bool) time.Duration {
	if plain {
		return cmp.Or(configured, 5*time.Second)
	}
	return cmp.Or(configured, time.Second)
}

// abort ends the connection. The error of the first call is the reason.
func (cn *conn) abort(err error) {
	cn.cancel(err)
	cn.nc.Close()
	cn.out.Wake()
}

// close ends the connection, waits for its goroutines and tells its receivers. It returns the
// reason of the end.
func (cn *conn) close(err error) error {
	cn.abort(err)
	cn.running.Wait()
	if cn.sender != nil {
		cn.sender.Close()
	}
	cn.mu.Lock()
	routes := cn.routes
	cn.routes = nil
	cn.mu.Unlock()
	err = context.Cause(cn.ctx)
	for _, r := range routes {
		r.receiver.connLost(cn, err)
	}
	return err
}

// newID returns a command id that is unique within the client.
func (c *Client) newID() string { return strconv.FormatUint(c.ids.Add(1), 10) }

// queueCommand queues a command without an answer.
func (cn *conn) queueCommand(appendTo func([]byte) []byte) { cn.request("", nil, appendTo) }

// request queues a command and routes its answers to r, unless r is nil. It returns false if the
// connection has ended; then r is not notified.
func (cn *conn) request(id string, r receiver, appendTo func([]byte) []byte) bool {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	if cn.routes == nil {
		return false
	}
	if r != nil {
		cn.routes[id] = route{r, id}
	}
	cn.frames = appendTo(cn.frames)
	cn.out.Wake()
	return true
}

// subscribeAnswered tells the core that a subscribe was answered, or never will be.
func (cn *conn) subscribeAnswered(id string) {
	cn.c.core.do(func(s *clientcore.Session) { s.Answered(id) })
}

// unsubscribe ends the subscription or query with this id. Later messages for it are ignored.
func (cn *conn) unsubscribe(id string, u wire.UnsubscribeCommand) {
	cn.removeRoute(id)
	cn.subscribeAnswered(id)
	u.CommandID = cn.c.newID()
	cn.queueCommand(u.AppendTo)
}

// removeRoute removes the route of an id, so later messages for it are ignored.
func (cn *conn) removeRoute(id string) {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	delete(cn.routes, id)
}

// route returns the route of an id, if there is one.
func (cn *conn) route(id []byte) (r route, ok bool) {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	r, ok = cn.routes[string(id)]
	return r, ok
}

// read handles frames until the connection ends. It never waits for the application (R12).
func (cn *conn) read() error {
	var m wire.Message
	for {
		if err := cn.receive(&m); err != nil {
			return err
		}
	}
}

// receive reads and handles one frame.
func (cn *conn) receive(m *wire.Message) error {
	err := cn.in.next(m)
	if tooLarge, ok := errors.AsType[*wire.TooLargeError](err); ok {
		return cn.tooLarge(m, tooLarge)
	}
	if err != nil {
		return err
	}
	return cn.dispatch(m)
}

// tooLarge handles a frame longer than MaxFrame. If it is a message, tooLarge ends its receivers,
// because they would get the same message again on every connection. Any other frame ends the
// connection.
func (cn *conn) tooLarge(m *wire.Message, frame *wire.TooLargeError) error {
	if failpoint.On(failpoint.R14TooLargeAgain) {
		return frame
	}
	header, err := cn.in.frames.NextTooLarge()
	if err == nil {
		err = wire.Parse(header, m)
	}
	if err != nil {
		return fmt.Errorf("read: %w: %w", frame, err)
	}
	e := &FrameTooLargeError{Topic: string(m.Topic), Bookmark: string(m.Bookmark), Size: int64(frame.Size), MaxFrame: frame.Max}
	switch m.Command {
	case wire.Publish, wire.DeltaPublish, wire.OOF:
		return cn.deliver(deliveryIDs(m), m, e)
	case wire.SOW:
		return cn.deliver(m.QueryID, m, e)
	}
	return e
}

func (cn *conn) dispatch(m *wire.Message) error {
	switch m.Command {
	case wire.Ack:
		return cn.handleAck(m)
	case wire.Publish, wire.DeltaPublish, wire.OOF:
		return cn.deliver(deliveryIDs(m), m, nil)
	case wire.Stretch:
		return cn.stretch(m)
	case wire.SOW, wire.GroupBegin, wire.GroupEnd:
		return cn.deliver(m.QueryID, m, nil)
	}
	return nil // heartbeats and unknown commands
}

// deliveryIDs returns the list of ids that a message is addressed to.
func deliveryIDs(m *wire.Message) []byte {
	for _, ids := range [][]byte{m.SubIDs, m.SubID, m.QueryID, m.CommandID} {
		if len(ids) > 0 {
			return ids
		}
	}
	return nil
}

// deliver passes a message, or the header of one that is too large, to each id of a comma-separated
// list.
func (cn *conn) deliver(ids []byte, m *wire.Message, tooLarge *FrameTooLargeError) error {
	routes := cn.findRoutes(ids)
	for _, r := range routes {
		if err := r.receiver.handleMessage(cn, r.id, m, tooLarge); err != nil {
			return err
		}
	}
	clear(routes)
	return nil
}

var comma = []byte(",")

// send runs the sender until the connection ends.
func (cn *conn) send() error {
	if err := cn.out.Run(); err != nil {
		return err
	}
	return errStopped
}

// Fill implements outbound.Source. It appends commands and then messages of the publish store, in
// order. The same loop sends new messages and replays old ones (R1). Both come from one cursor, so
// a new message cannot overtake a replayed one.
func (cn *conn) Fill(b []byte, _ bool) (out []byte, next time.Time, err error) {
	if cn.ctx.Err() != nil {
		return b, outbound.Idle, io.EOF
	}
	out, err = cn.sender.Fill(cn.takeFrames(b), batchBytes)
	now := time.Now()
	if len(out) == 0 && !now.Before(cn.nextHeartbeat) {
		h := wire.HeartbeatCommand{Options: wire.HeartbeatBeat}
		out = h.AppendTo(out)
	}
	if len(out) > 0 {
		cn.nextHeartbeat = now.Add(cn.heartbeat)
	}
	if len(out) >= batchBytes {
		return out, outbound.Again, err
	}
	return out, cn.nextHeartbeat, err
}

// errStopped is the sender's error after its connection was ended. The reason is reported
// elsewhere.
var errStopped = errors.New("stopped")

// takeFrames appends the queued commands to dst.
func (cn *conn) takeFrames(dst []byte) []byte {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	dst = append(dst, cn.frames...)
	cn.frames = cn.frames[:0]
	if cap(cn.frames) > batchBytes {
		cn.frames = nil
	}
	return dst
}
