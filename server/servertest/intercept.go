package servertest

import (
	"bytes"
	"cmp"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/server"
)

// A Command is a command of a client that the server has not executed yet. It does
// not share memory with the connection and may be kept.
type Command struct {
	Name      string // of the protocol: logon, publish, subscribe, unsubscribe, flush, heartbeat, ...
	Client    string // client name from the logon
	Publisher uint64 // id under which the client publishes with a store, 0 if it has none
	ID        string // command id, empty if the client gave none
	Topic     string
	Sequence  uint64 // of a publish with a store, from 1; 0 otherwise
	SubID     string // subscribe, unsubscribe
	Bookmark  string // subscribe: the bookmark where the subscription begins
	Filter    string
	Options   string
	Body      []byte
}

// An Action is the server's response to a command: [Pass], [Drop], [Disconnect] or
// [Reject].
type Action struct {
	kind   actionKind
	reason string
}

type actionKind uint8

const (
	pass actionKind = iota
	drop
	disconnect
	reject
)

var (
	// Pass lets the server execute the command.
	Pass = Action{kind: pass}
	// Drop swallows the command: the server does not see it, and the client
	// gets no answer. After a dropped publish, a publish with a later sequence
	// is a hole for the server. It then ends the connection, and the client
	// sends both again.
	Drop = Action{kind: drop}
	// Disconnect ends the connection before the server sees the command.
	// Output that the server has not sent yet is dropped.
	Disconnect = Action{kind: disconnect}
)

// Reject makes the server refuse the command with the given reason, as it refuses a
// command that breaks its own rules. An empty reason becomes "rejected by the test".
//
//   - A publish with a sequence leaves a tombstone in the journal. The tombstone
//     replicates, and the publisher gets a failure ack in the order of its messages.
//   - A logon ends the connection.
//   - Any other command gets a failure ack, and nothing else happens.
//
// A publish that the journal has already is a duplicate; it is not rejected. The
// instances of a pair must reject the same commands, as servers with the same
// configuration do; [Pair.Intercept] sets one function for both. Otherwise
// one may accept a message that the other has refused, and their journals differ.
func Reject(reason string) Action {
	return Action{reject, cmp.Or(reason, "rejected by the test")}
}

// Intercept calls f for each command that clients send to the instance, before the
// server executes the command. It also applies to connections that are open
// already, and it stays in effect over restarts; nil ends it. f is not called for a
// command that is malformed or longer than MaxMessage.
//
// f is called on the goroutine that reads the connection, and the connection waits
// until f returns. Calls for several connections may overlap. f may block, but it
// must not end the instance itself and must not block past the end of the
// instance: Close and Kill wait for f. To kill an instance at a certain command,
// let f signal the goroutine of the test, which calls Kill, and return Drop for
// that command and all later ones.
func (i *Instance) Intercept(f func(Command) Action) {
	if f == nil {
		i.taps.intercept.Store(nil)
		return
	}
	i.taps.intercept.Store(&f)
}

// taps are the settings of Intercept and DelayAcks. Safe for concurrent use.
type taps struct {
	intercept atomic.Pointer[func(Command) Action] // nil: no interception
	delay     atomic.Int64                         // of acks, a time.Duration
}

// listenFunc returns the Listen function for the server. It listens as cfg does; the
// connections that clients open have taps.
func (i *Instance) listenFunc(cfg server.Config) func(address string) (net.Listener, error) {
	return func(address string) (net.Listener, error) {
		l, err := cfg.Listen(address)
		if err != nil || address != cfg.Clients.Listen {
			return l, err
		}
		return &listener{l, i}, nil
	}
}

type listener struct {
	net.Listener
	i *Instance
}

func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newConn(nc, l.i), nil
}

// A conn is the server's side of a client's connection, with taps.
type conn struct {
	net.Conn
	taps       *taps
	publishers *publishers
	acks       ackDelayer

	// Used by the goroutine that reads the connection only.
	client    string
	publisher uint64
}

func newConn(nc net.Conn, i *Instance) *conn {
	c := &conn{Conn: nc, taps: &i.taps, publishers: i.publishers}
	c.acks.init(nc)
	return c
}

var errDisconnect = errors.New("disconnected by the test, with Intercept")

// Intercept decides about a command. The server calls it before it executes the command.
func (c *conn) Intercept(m *wire.Message) (swallow bool, refuse string, err error) {
	if m.Command == wire.Logon {
		c.client = string(m.ClientName)
		c.publisher = c.publishers.addLogon(m)
	}
	if m.Command == wire.Heartbeat {
		c.acks.heartbeats.Store(true)
	}
	f := c.taps.intercept.Load()
	if f == nil {
		return false, "", nil
	}
	switch v := (*f)(c.command(m)); v.kind {
	case drop:
		return true, "", nil
	case disconnect:
		return false, "", errDisconnect
	case reject:
		return false, v.reason, nil
	}
	return false, "", nil
}

func (c *conn) command(m *wire.Message) Command {
	name := m.Command.String()
	switch m.Command {
	case wire.Publish:
		name = "publish"
	case wire.Unknown:
		name = string(m.CommandText)
	}
	return Command{
		Name: name, Client: c.client, Publisher: c.publisher,
		ID: string(m.CommandID), Topic: string(m.Topic), Sequence: m.Sequence,
		SubID: string(m.SubID), Bookmark: string(m.Bookmark), Filter: string(m.Filter), Options: string(m.Options),
		Body: bytes.Clone(m.Body),
	}
}

// Over puts a layer under the taps: the TLS of the server.
func (c *conn) Over(layer func(net.Conn) net.Conn) {
	c.Conn = layer(c.Conn)
	c.acks.conn = c.Conn
}

// Write sends the server's output. Acks in it may be delayed.
func (c *conn) Write(p []byte) (int, error) {
	return c.acks.write(p, time.Duration(c.taps.delay.Load()))
}

// Close ends the connection. Delayed acks are lost.
func (c *conn) Close() error {
	c.acks.timer.Stop()
	return c.Conn.Close()
}

// CloseWrite closes the sending direction of the connection.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetLinger lets a killed server reset its connections, as the kernel does for a dead process.
func (c *conn) SetLinger(seconds int) error {
	if tcp, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		return tcp.SetLinger(seconds)
	}
	return errors.ErrUnsupported
}
