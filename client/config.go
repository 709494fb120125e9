package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nuid"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// Config says what a client is and where it connects. A zero field means its
// default; only Servers, or Chooser, has none.
type Config struct {
	// Name is the client name: one live session each in a group of servers
	// (R11). It may be empty only with memory stores and if no subscription
	// resumes at MostRecent; then the client makes one up.
	Name string

	// Servers are connection URIs, tried in turn (NewRoundRobin):
	// tcp://a:9007/amps/json, or tcps for TLS.
	Servers []string
	// Chooser decides in place of Servers which server to connect to.
	Chooser ServerChooser

	// Publishes keeps what is published until both servers have it. Default
	// pubstore.NewMemory. The application closes it, after the client.
	Publishes pubstore.Store
	// Bookmarks keeps the places of bookmark subscriptions. Default
	// bookmarkstore.NewMemory. The application closes it, after the client.
	Bookmarks bookmarkstore.Store

	// MessageType is said at logon if the server's URI does not. Default json.
	MessageType string
	// Credentials is asked before each logon, and again for each challenge
	// of the server. Default: what the URI says, and nothing.
	Credentials func(ctx context.Context, c Challenge) (user, password string, err error)
	// TLS is for tcps servers. Default: the system's roots, TLS 1.2 and later.
	TLS *tls.Config
	// Dial makes connections. Default net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Logger is told what hooks are. Default: silent.
	Logger *slog.Logger
	// Hooks are told what happens.
	Hooks Hooks

	// Offline has Dial return as soon as the stores are open.
	Offline bool

	DialTimeout    time.Duration // of one attempt to connect; default 5s
	LogonTimeout   time.Duration // from connected to logged on; default 5s
	CommandTimeout time.Duration // for the answer to a command; default 10s
	// RecoveryTimeout is how long the servers may take to answer the
	// subscriptions that are resumed after a reconnect. Default 60s.
	RecoveryTimeout time.Duration
	// HeartbeatInterval is how often an idle connection proves that it
	// lives, in whole seconds. Twice as long without a sign from the server
	// means it is lost. Default and least 1s.
	HeartbeatInterval time.Duration

	// WindowMessages and WindowBytes bound what is sent and not yet
	// acknowledged by any server. Default 16,384 and 8 MiB.
	WindowMessages, WindowBytes int
	// QueueMessages and QueueBytes bound what each subscription queues for
	// the application. Default 1,024 and 8 MiB.
	QueueMessages, QueueBytes int
	// MaxFrame is the longest frame taken from a server, in bytes. Default 16 MiB and its header.
	MaxFrame int
}

// A Challenge is what credentials are asked for.
type Challenge struct {
	Server string // its URI, without a password
	// User and Text are what a server's challenge says; empty at the first
	// attempt of a connection.
	User, Text string
}

// validate returns the configuration with its defaults filled in.
func (c Config) validate() (Config, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if c.Chooser == nil && len(c.Servers) == 0 {
		bad("no servers")
	}
	if c.Chooser != nil && len(c.Servers) > 0 {
		bad("both Servers and Chooser are set")
	}
	for _, s := range c.Servers {
		if _, err := parseURI(s); err != nil {
			errs = append(errs, err)
		}
	}
	if c.Name == "" && !c.volatile() {
		bad("Name is needed with stores that outlive the process")
	}
	if strings.ContainsFunc(c.Name, func(r rune) bool { return r < ' ' || r == '[' || r == ']' }) {
		bad("Name %q has a control character or square bracket", c.Name)
	}
	c.fill()
	if c.HeartbeatInterval < time.Second || c.HeartbeatInterval%time.Second != 0 {
		bad("HeartbeatInterval %v is not a whole number of seconds", c.HeartbeatInterval)
	}
	for _, d := range []time.Duration{c.DialTimeout, c.LogonTimeout, c.CommandTimeout, c.RecoveryTimeout} {
		if d < 0 {
			bad("timeout %v is negative", d)
		}
	}
	for _, n := range []int{c.WindowMessages, c.WindowBytes, c.QueueMessages, c.QueueBytes, c.MaxFrame} {
		if n < 0 {
			bad("bound %d is negative", n)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return c, fmt.Errorf("client configuration: %w", err)
	}
	return c, nil
}

// volatile reports whether neither store outlives the process.
func (c *Config) volatile() bool {
	_, publishes := c.Publishes.(*pubstore.Memory)
	_, bookmarks := c.Bookmarks.(*bookmarkstore.Memory)
	return (publishes || c.Publishes == nil) && (bookmarks || c.Bookmarks == nil)
}

func (c *Config) fill() {
	fill(&c.DialTimeout, 5*time.Second)
	fill(&c.LogonTimeout, 5*time.Second)
	fill(&c.CommandTimeout, 10*time.Second)
	fill(&c.RecoveryTimeout, 60*time.Second)
	fill(&c.HeartbeatInterval, time.Second)
	fill(&c.WindowMessages, 16384)
	fill(&c.WindowBytes, 8<<20)
	fill(&c.QueueMessages, 1024)
	fill(&c.QueueBytes, 8<<20)
	fill(&c.MaxFrame, wire.MaxFrame)
	fill(&c.MessageType, "json")
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Publishes == nil {
		c.Publishes = pubstore.NewMemory(pubstore.MemoryOptions{})
	}
	if c.Bookmarks == nil {
		c.Bookmarks = bookmarkstore.NewMemory()
	}
	if c.Chooser == nil {
		c.Chooser = NewRoundRobin(c.Servers...)
	}
}

// fill sets a field that is zero.
func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// madeUpName returns a name for a client that has none.
func madeUpName() string { return "holdfast-" + nuid.Next() }
