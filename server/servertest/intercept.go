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

// A Command is what a client has sent, before the server executes it. It may
// be kept.
type Command struct {
	Name      string // of the protocol: logon, publish, subscribe, unsubscribe, flush, heartbeat, ...
	Client    string // its name, as it was at logon
	Publisher uint64 // as which it publishes with a store, 0 if it can't
	ID        string // command id, empty if the client gave none
	Topic     string
	Sequence  uint64 // of a publish with a store, from 1; 0 otherwise
	SubID     string // subscribe, unsubscribe
	Bookmark  string // subscribe: where it begins
	Filter    string
	Options   string
	Body      []byte
}

// A Verdict is what becomes of a command.
type Verdict struct {
	kind   verdict
	reason string
}

type verdict uint8

const (
	pass verdict = iota
	drop
	disconnect
	reject
)

var (
	// Pass lets the server execute the command.
	Pass = Verdict{kind: pass}
	// Drop swallows the command: the server does not see it and nothing
	// answers. To the server a publish with a later sequence is then a hole,
	// for which it ends the connection; the client sends both again.
	Drop = Verdict{kind: drop}
	// Disconnect ends the connection before the server sees the command.
	// What it had not sent yet is not sent any more.
	Disconnect = Verdict{kind: disconnect}
)

// Reject has the server refuse the command for that reason as it refuses what
// breaks its own rules: a publish with a sequence leaves its tombstone in the
// journal, which replicates, and its failure ack goes out in its place (R14);
// a logon ends the connection; of the rest, a failure ack is all. A publish
// that the journal has already is a duplicate, and can't be rejected any more.
// The two of a pair must reject alike, as servers of one configuration do
// (R14), see [Pair.Intercept]: otherwise one may take what the other has
// refused, and they differ.
func Reject(reason string) Verdict {
	return Verdict{reject, cmp.Or(reason, "rejected by the test")}
}

// Intercept has f asked about each command that clients send to the instance,
// those of open connections too, before the server executes it; nil ends that.
// It outlives restarts. A command that is longer than MaxMessage, or malformed,
// isn't asked about.
//
// f is called on the goroutine that reads the connection, at the same time for
// several connections, and the connection waits for it. It may block, but
// neither end the instance nor outlast it, since every end waits for it. To
// kill an instance at a certain command, let f tell the test's goroutine, which
// calls Kill, and return Drop for that command and all that follow.
func (i *Instance) Intercept(f func(Command) Verdict) {
	if f == nil {
		i.taps.intercept.Store(nil)
		return
	}
	i.taps.intercept.Store(&f)
}

// taps are what is done to what clients send and get. Safe for concurrent use.
type taps struct {
	intercept atomic.Pointer[func(Command) Verdict] // nil: nothing
	delay     atomic.Int64                          // of acks, a time.Duration
}

// tapped returns how the server listens: as cfg says, and where clients connect
// for connections with taps.
func (i *Instance) tapped(cfg server.Config) func(address string) (net.Listener, error) {
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

// A conn is a client's connection as the server has it, with taps.
type conn struct {
	net.Conn
	taps       *taps
	publishers *publishers
	acks       late

	// The reader's own.
	client    string
	publisher uint64
}

func newConn(nc net.Conn, i *Instance) *conn {
	c := &conn{Conn: nc, taps: &i.taps, publishers: i.publishers}
	c.acks.init(nc)
	return c
}

var errDisconnect = errors.New("disconnected by the test, with Intercept")

// Intercept is called by the server before it executes a command.
func (c *conn) Intercept(m *wire.Message) (swallow bool, refuse string, err error) {
	if m.Command == wire.Logon {
		c.client = string(m.ClientName)
		c.publisher = c.publishers.loggedOn(m)
	}
	if m.Command == wire.Heartbeat {
		c.acks.beats.Store(true)
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

// Write sends what the server writes; acks may leave later.
func (c *conn) Write(p []byte) (int, error) {
	return c.acks.write(p, time.Duration(c.taps.delay.Load()))
}

// Close ends the connection. Acks that have not left are lost.
func (c *conn) Close() error {
	c.acks.timer.Stop()
	return c.Conn.Close()
}

// CloseWrite ends what the server sends.
func (c *conn) CloseWrite() error {
	if half, can := c.Conn.(interface{ CloseWrite() error }); can {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetLinger is for a server that is killed: its kernel resets its connections.
func (c *conn) SetLinger(seconds int) error {
	if tcp, is := c.Conn.(*net.TCPConn); is {
		return tcp.SetLinger(seconds)
	}
	return errors.ErrUnsupported
}
