package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"
	"unicode"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// Config says what a client is and where it connects. A zero field means its
// default; only Servers, or Chooser, has none.
type Config struct {
	// Name is the client name: one live session each in a group of servers
	// (R11). At most 1,024 bytes, of any characters but control characters
	// and square brackets. It may be empty only with memory stores and if no
	// subscription resumes at MostRecent; then the client makes one up.
	Name string

	// Servers are connection URIs, tried in turn (NewRoundRobin):
	//
	//	tcp://host:port/amps/json
	//	tcps://user:password@host:port/amps/json?tcp_nodelay=true
	//	unix://localhost/amps/json?path=/run/holdfast.sock
	//
	// tcps is TLS and unix a socket of this machine; holdfastd listens on tcp
	// only. The last part of the path is the message type and may be missing.
	// Options, for tcp and tcps unless said otherwise:
	//
	//	tcp_nodelay         true or false; default true
	//	tcp_sndbuf          the socket's send buffer in bytes; default the system's
	//	tcp_rcvbuf          its receive buffer in bytes; default the system's
	//	bind                the IP address to connect from; default the system's choice
	//	ext                 0 or 1; with 0 the logon does not speak of our extensions, for
	//	                    servers that refuse what they do not know, and for all
	//	                    schemes; default 1
	//	ip_protocol_prefer  ipv4 or ipv6: only that; default both
	//	path                the socket's; for unix, and needed there
	Servers []string
	// Chooser decides in place of Servers which server to connect to.
	Chooser ServerChooser

	// Publishes keeps what is published until both servers have it. Default
	// pubstore.NewMemory: when the process ends, what was not safe on both
	// servers by then may be lost. The application closes it, after the
	// client. One client at a time uses it (pubstore.ErrInUse).
	Publishes pubstore.Store
	// Bookmarks keeps the places of bookmark subscriptions. Default
	// bookmarkstore.NewMemory: when the process ends the places are lost, and
	// the next one begins at Epoch with MostRecent, which repeats everything
	// the log has. The application closes it, after the client.
	Bookmarks bookmarkstore.Store

	// MessageType is said at logon if the server's URI does not. Default
	// json. holdfastd takes json, binary, msgpack, xml, fix and nvfix, looks
	// into none of them, and does not separate topics by them.
	MessageType string
	// Credentials is asked before each logon, and again for each challenge
	// of the server; an error fails the attempt. Default: user and password of
	// the URI. holdfastd checks no passwords; it only keeps a second user from
	// logging on with the client name of another (R11).
	Credentials func(ctx context.Context, c Challenge) (user, password string, err error)
	// TLS is for tcps servers, of which holdfastd is none. Default: the
	// system's roots, TLS 1.2 and later.
	TLS *tls.Config
	// Dial makes connections: network is tcp, tcp4, tcp6 or unix, address
	// host:port or a path; ctx ends after DialTimeout. Default: a
	// net.Dialer; of a name with several addresses the next one is tried as well
	// whenever one has not answered within 250 ms (RFC 8305).
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Logger gets a line for whatever a hook is told, and for a few things
	// more: what needs a look at Warn or Error, what is over or went well at
	// Info, the states at Debug. Default: silent.
	Logger *slog.Logger
	// Hooks are told what happens.
	Hooks Hooks

	// AllowPublishGap has the client publish to a server without our extensions that
	// lacks messages which were acknowledged before, as after the loss of its log:
	// the messages stay missing there. Default: ErrPublishGap, as everywhere.
	AllowPublishGap bool

	// Offline has Dial return at once, without waiting for the first logon.
	Offline bool

	DialTimeout    time.Duration // of one attempt to connect; default 5s
	LogonTimeout   time.Duration // from connected to logged on; default 5s
	CommandTimeout time.Duration // for the answer to a command; default 10s
	// RecoveryTimeout is how long the servers may take to answer the
	// subscriptions that are resumed after a reconnect, and for how long servers
	// may be away, or send nothing, that are asked for what another one has
	// removed (GapError). Default 60s.
	RecoveryTimeout time.Duration
	// HeartbeatInterval is how often an idle connection proves that it
	// lives, in whole seconds. Twice as long without a sign from the server
	// means it is lost. At least 1s; default 1s, and 5s with a server without our
	// extensions.
	HeartbeatInterval time.Duration

	// WindowMessages and WindowBytes bound what is sent and not yet
	// acknowledged by any server.
	WindowMessages int // default 65,536
	WindowBytes    int // default 32 MiB
	// QueueMessages and QueueBytes bound what each subscription queues for
	// the application.
	QueueMessages int // default 1,024
	QueueBytes    int // default 8 MiB
	// MaxPublishers bounds the publishers that the place of a bookmark
	// subscription names: one for each life of a publish store whose messages the
	// server has on its topics. Each takes about 200 bytes of memory, and 30
	// in a resume. Beyond it the subscription ends with a *PublishersError.
	// Default 1,000,000, at most 1,048,576. (server.MaxPublishers is another bound,
	// of a list in the status of a server.)
	MaxPublishers int
	// MaxMessage is the largest message that Publish takes, in bytes with its header, as
	// long as no server has stated a limit: before the first logon, and at servers
	// without our extensions. Default 16 MiB, at most 256 MiB. The publish store has a
	// limit of its own (MaxMessage of its options).
	MaxMessage int
	// MaxFrame is the longest frame taken from a server, in bytes. Default 16 MiB and its header;
	// less than 64 KiB counts as 64 KiB, which several messages together may have.
	// A longer message ends its subscription with a *FrameTooLargeError.
	MaxFrame int
}

// A Challenge is what credentials are asked for.
type Challenge struct {
	Server string // its URI, without a password
	// User and Text are what a server's challenge says; empty at the first
	// attempt of a connection.
	User, Text string
}

// maxMessage is the most that any limit on messages may be: the longest record of a journal.
const maxMessage = 256 << 20

// maxName is the longest client name that a server takes, in bytes.
const maxName = 1024

// Check returns what Dial would refuse of the configuration, nil if nothing: all
// that is wrong, each with its field. It connects to nothing.
func (c Config) Check() error {
	_, err := c.validate()
	return err
}

// validate returns the configuration with its defaults filled in.
func (c Config) validate() (Config, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if c.Chooser != nil && len(c.Servers) > 0 {
		bad("both Servers and Chooser are set")
	}
	if c.Chooser == nil {
		c.Chooser = NewRoundRobin(c.Servers...)
	}
	if list, ok := c.Chooser.(*listChooser); ok {
		errs = append(errs, list.check())
	}
	if c.Name == "" && !c.volatile() {
		bad("Name is needed with stores that outlive the process")
	}
	if strings.ContainsFunc(c.Name, func(r rune) bool { return unicode.IsControl(r) || r == '[' || r == ']' }) {
		bad("Name %q has a control character or square bracket", c.Name)
	}
	if len(c.Name) > maxName {
		bad("Name has %d bytes, at most %d", len(c.Name), maxName)
	}
	c.fill()
	if c.HeartbeatInterval != 0 && c.HeartbeatInterval < time.Second || c.HeartbeatInterval%time.Second != 0 {
		bad("HeartbeatInterval %v is not a whole number of seconds", c.HeartbeatInterval)
	}
	for _, d := range []time.Duration{c.DialTimeout, c.LogonTimeout, c.CommandTimeout, c.RecoveryTimeout} {
		if d < 0 {
			bad("timeout %v is negative", d)
		}
	}
	for _, n := range []int{c.WindowMessages, c.WindowBytes, c.QueueMessages, c.QueueBytes, c.MaxPublishers, c.MaxMessage, c.MaxFrame} {
		if n < 0 {
			bad("bound %d is negative", n)
		}
	}
	if c.MaxMessage > maxMessage {
		bad("MaxMessage is %d, at most %d", c.MaxMessage, maxMessage)
	}
	if c.MaxPublishers > wire.MaxVector {
		bad("MaxPublishers is %d, a server takes %d at most", c.MaxPublishers, wire.MaxVector)
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
	c.DialTimeout = cmp.Or(c.DialTimeout, 5*time.Second)
	c.LogonTimeout = cmp.Or(c.LogonTimeout, 5*time.Second)
	c.CommandTimeout = cmp.Or(c.CommandTimeout, 10*time.Second)
	c.RecoveryTimeout = cmp.Or(c.RecoveryTimeout, 60*time.Second)
	c.WindowMessages = cmp.Or(c.WindowMessages, 65536)
	c.WindowBytes = cmp.Or(c.WindowBytes, 32<<20)
	c.QueueMessages = cmp.Or(c.QueueMessages, 1024)
	c.QueueBytes = cmp.Or(c.QueueBytes, 8<<20)
	c.MaxPublishers = cmp.Or(c.MaxPublishers, 1_000_000)
	c.MaxMessage = cmp.Or(c.MaxMessage, 16<<20)
	c.MaxFrame = max(cmp.Or(c.MaxFrame, wire.MaxFrame), wire.MaxStretch)
	c.MessageType = cmp.Or(c.MessageType, "json")
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Publishes == nil {
		c.Publishes = pubstore.NewMemory(pubstore.MemoryOptions{})
	}
	if c.Bookmarks == nil {
		c.Bookmarks = bookmarkstore.NewMemory()
	}
}
