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
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/outbound"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// batchBytes is how much the sender puts together before it writes.
const batchBytes = 64 << 10

// A receiver is what acks and messages on a connection are routed to by id: a
// subscription, or the replies to a command. All but lost run on the reader's
// goroutine and must never wait for the application (R12).
type receiver interface {
	// message takes in a message, or only the header of one whose frame was not read
	// since it is too large; else tooLarge is nil.
	message(cn *conn, id string, m *wire.Message, tooLarge *FrameTooLargeError) error
	arrived(cn *conn, id string, run []arrival) // messages, in a stretch
	ack(cn *conn, id string, m *wire.Message) error
	lost(cn *conn, err error) // the connection has ended; on the session goroutine
}

type route struct {
	r  receiver
	id string // its own key
}

// A decider makes the decisions for a connection: the client's core, or a side session.
type decider interface {
	Credentials(user, password string) wire.LogonCommand
	Take(m *wire.Message) (clientcore.Event, error)
}

// A conn is one connection to a server, from its logon to its end. It has two
// goroutines, a reader and a sender; the session goroutine starts them and
// waits for them. A side session has neither.
type conn struct {
	c    *Client
	core decider
	nc   net.Conn
	in   *input
	remote
	sender *clientcore.Sender // from the logon on

	out     *outbound.Writer // writes the output of Fill
	beat    time.Duration    // between heartbeats; set by start
	beatAt  time.Time        // when a heartbeat is due; Fill's
	ctx     context.Context  // ends when the connection has failed or is to end; the cause says why
	cancel  context.CancelCauseFunc
	running sync.WaitGroup

	mu     sync.Mutex
	frames []byte           // of commands, for the sender to write; guarded by mu
	routes map[string]route // by command id; nil: closed; guarded by mu
}

// A remote is the server at the other end.
type remote struct {
	at    clientcore.Server // as at the logon
	info  ServerInfo        // the same for the application
	shown SyncState         // as made known; the session goroutine's
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

// An input reads frames. It fails when nothing comes for a time. It is the reader's.
type input struct {
	nc     net.Conn
	frames *wire.Reader
	idle   time.Duration // 0: never
	inbound
}

func (r *input) Read(p []byte) (int, error) {
	if r.idle > 0 && !mut.On(mut.HeartbeatsIgnored) {
		if err := r.nc.SetReadDeadline(time.Now().Add(r.idle)); err != nil {
			return 0, err
		}
	}
	return r.nc.Read(p)
}

// next reads a frame.
func (r *input) next(m *wire.Message) error {
	frame, err := r.frames.Next()
	if err != nil {
		return fmt.Errorf("read: %w", silence(err))
	}
	if err := wire.Parse(frame, m); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return nil
}

// start starts the goroutines. From here on close must be called.
func (cn *conn) start() {
	cn.beat = heartbeatInterval(cn.c.cfg.HeartbeatInterval, cn.at.Plain)
	cn.in.idle = 2 * cn.beat
	start := wire.HeartbeatCommand{CommandID: cn.c.newID(), Options: wire.HeartbeatStart(cn.beat)}
	cn.control(start.AppendTo)
	cn.running.Go(func() { cn.fail(cn.read()) })
	cn.running.Go(func() { cn.fail(cn.send()) })
}

// heartbeatInterval returns the one that was configured or, for 0, the default.
func heartbeatInterval(configured time.Duration, plain bool) time.Duration {
	if plain {
		return cmp.Or(configured, 5*time.Second)
	}
	return cmp.Or(configured, time.Second)
}

// fail ends the connection; the first reason counts.
func (cn *conn) fail(err error) {
	cn.cancel(err)
	cn.nc.Close()
	cn.out.Wake()
}

// close ends the connection, waits for its goroutines and tells its routes.
// It returns why the connection ended.
func (cn *conn) close(err error) error {
	cn.fail(err)
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
		r.r.lost(cn, err)
	}
	return err
}

// ended notes of why a connection ended that the server has closed it.
func ended(err error) error {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", clientcore.ErrHungUp, err)
		}
	}
	return err
}

// newID returns a command id that no other command of the client has had.
func (c *Client) newID() string { return strconv.FormatUint(c.ids.Add(1), 10) }

// control queues a command that expects no answer.
func (cn *conn) control(appendTo func([]byte) []byte) { cn.request("", nil, appendTo) }

// request queues a command whose answers go to r, if that is not nil. False: the
// connection has ended, and r is not told.
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

// answered notes that a subscribe was answered, or will not be.
func (cn *conn) answered(id string) {
	cn.c.core.do(func(s *clientcore.Session) { s.Answered(id) })
}

// unsubscribe ends what runs under an id. What still comes is ignored.
func (cn *conn) unsubscribe(id string, u wire.UnsubscribeCommand) {
	cn.forget(id)
	cn.answered(id)
	u.CommandID = cn.c.newID()
	cn.control(u.AppendTo)
}

// forget has what still comes under an id ignored.
func (cn *conn) forget(id string) {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	delete(cn.routes, id)
}

// route returns whom an id belongs to, if to anybody.
func (cn *conn) route(id []byte) (r route, is bool) {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	r, is = cn.routes[string(id)]
	return r, is
}

// read takes in frames until the connection ends. It never waits for the
// application (R12).
func (cn *conn) read() error {
	var m wire.Message
	for {
		if err := cn.receive(&m); err != nil {
			return err
		}
	}
}

// receive takes in a frame.
func (cn *conn) receive(m *wire.Message) error {
	err := cn.in.next(m)
	if long, is := errors.AsType[*wire.TooLargeError](err); is {
		return cn.tooLarge(m, long)
	}
	if err != nil {
		return err
	}
	return cn.dispatch(m)
}

// tooLarge ends what gets a message whose frame is longer than MaxFrame: it
// would get the same again on every connection. Another frame of that length
// ends the connection.
func (cn *conn) tooLarge(m *wire.Message, long *wire.TooLargeError) error {
	if mut.On(mut.R14TooLargeAgain) {
		return long
	}
	header, err := cn.in.frames.NextTooLarge()
	if err == nil {
		err = wire.Parse(header, m)
	}
	if err != nil {
		return fmt.Errorf("read: %w: %w", long, err)
	}
	e := &FrameTooLargeError{Topic: string(m.Topic), Bookmark: string(m.Bookmark), Size: int64(long.Size), MaxFrame: long.Max}
	switch m.Command {
	case wire.Publish, wire.DeltaPublish, wire.OOF:
		return cn.deliver(deliveryIDs(m), m, e)
	case wire.SOW:
		return cn.deliver(m.QueryID, m, e)
	}
	return e
}

// silence says in our words that a deadline has passed.
func silence(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return err
}

func (cn *conn) dispatch(m *wire.Message) error {
	switch m.Command {
	case wire.Ack:
		return cn.ack(m)
	case wire.Publish, wire.DeltaPublish, wire.OOF:
		return cn.deliver(deliveryIDs(m), m, nil)
	case wire.Stretch:
		return cn.stretch(m)
	case wire.SOW, wire.GroupBegin, wire.GroupEnd:
		return cn.deliver(m.QueryID, m, nil)
	}
	return nil // heartbeats, and what we do not know
}

// deliveryIDs returns the list of ids that a message is for.
func deliveryIDs(m *wire.Message) []byte {
	for _, ids := range [][]byte{m.SubIDs, m.SubID, m.QueryID, m.CommandID} {
		if len(ids) > 0 {
			return ids
		}
	}
	return nil
}

// deliver hands a message, or the header of one that is too large, to each of a comma
// list of ids.
func (cn *conn) deliver(ids []byte, m *wire.Message, tooLarge *FrameTooLargeError) error {
	routes := cn.lookUp(ids)
	for _, r := range routes {
		if err := r.r.message(cn, r.id, m, tooLarge); err != nil {
			return err
		}
	}
	clear(routes)
	return nil
}

var comma = []byte(",")

// send writes until the connection ends.
func (cn *conn) send() error {
	if err := cn.out.Run(); err != nil {
		return err
	}
	return errStopped
}

// Fill implements outbound.Source: commands, and what the publish store keeps,
// in order. The same loop sends new messages and replays old ones (R1). No new
// message can overtake a replayed one, since both come from one cursor.
func (cn *conn) Fill(b []byte, _ bool) (out []byte, next time.Time, err error) {
	if cn.ctx.Err() != nil {
		return b, outbound.Idle, io.EOF
	}
	out, err = cn.sender.Fill(cn.takeFrames(b), batchBytes)
	now := time.Now()
	if len(out) == 0 && !now.Before(cn.beatAt) {
		h := wire.HeartbeatCommand{Options: wire.HeartbeatBeat}
		out = h.AppendTo(out)
	}
	if len(out) > 0 {
		cn.beatAt = now.Add(cn.beat)
	}
	if len(out) >= batchBytes {
		return out, outbound.Again, err
	}
	return out, cn.beatAt, err
}

// errStopped is how the sender ends when it is told to; the reason is another's.
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
