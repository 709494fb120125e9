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

// Config configures a client. A zero field means its default. Only Servers, or Chooser instead, is
// required.
type Config struct {
	// Name is the client name. Only one live session in a group of servers may have it (R11). It
	// has at most 1,024 bytes and no control characters or square brackets. It may be empty only if
	// both stores are in memory and no subscription resumes at MostRecent; then the client makes
	// one up.
	Name string

	// Servers are connection URIs that the client tries in turn (NewRoundRobin):
	//
	//	tcp://host:port/amps/json
	//	tcps://user:password@host:port/amps/json?tcp_nodelay=true
	//	unix://localhost/amps/json?path=/run/holdfast.sock
	//
	// tcps is TLS and unix is a local socket, on which holdfastd does not listen. The last part of
	// the path is the message type and may be missing. These options apply to tcp and tcps, except
	// where noted:
	//
	//	tcp_nodelay         true or false; default true
	//	tcp_sndbuf          the socket's send buffer in bytes; default the system's
	//	tcp_rcvbuf          the socket's receive buffer in bytes; default the system's
	//	bind                the IP address to connect from; default the system's choice
	//	ext                 0 or 1; with 0 the logon does not mention our extensions, for
	//	                    servers that refuse unknown options; for all schemes; default 1
	//	ip_protocol_prefer  ipv4 or ipv6: use only this one; default both
	//	path                the path of the socket; for unix, and required there
	Servers []string
	// Chooser chooses the servers to connect to. Set it instead of Servers.
	Chooser ServerChooser

	// PublishStore keeps the published messages until both servers have them. Default
	// pubstore.NewMemory: when the process ends, messages that are not yet safe on both servers may
	// be lost. The application closes the store, after the client. One client at a time uses it
	// (pubstore.ErrInUse).
	PublishStore pubstore.Store
	// BookmarkStore keeps the places of bookmark subscriptions. Default bookmarkstore.NewMemory:
	// when the process ends the places are lost, so MostRecent begins at Epoch in the next process
	// and repeats the whole log. The application closes the store, after the client.
	BookmarkStore bookmarkstore.Store

	// MessageType is sent at logon if the server's URI has no message type. Default json. holdfastd
	// accepts json, binary, msgpack, xml, fix and nvfix. It does not parse messages, and does not
	// separate topics by type.
	MessageType string
	// Credentials is called before each logon, and again for each challenge of the server. An error
	// fails the attempt. It must be safe for concurrent use. Default: user and password of the URI.
	// It is the short form of an Authenticator that believes every server; set only one of the two.
	Credentials func(ctx context.Context, c Challenge) (user, password string, err error)
	// Authenticator logs the client on, for example SCRAM or TokenFile. Each attempt to connect is
	// a conversation of its own, with fresh credentials. A refused logon (ErrNotAuthenticated) is
	// reported to the hook Disconnected and the log, and the client tries again, with growing
	// delays. A password that is sent in the clear, without TLS to another machine, is logged as a
	// warning once.
	Authenticator Authenticator
	// TLS configures connections to tcps servers. A certificate of the client is in its
	// Certificates, or comes from GetClientCertificate. Default: the system's roots, TLS 1.2 and
	// later.
	TLS *tls.Config
	// RequireTLS refuses every tcp URI with ErrTLSRequired: Dial refuses those in Servers, and
	// attempts to connect fail with those of a Chooser. Local sockets (unix) are allowed.
	RequireTLS bool
	// Dial makes connections. network is tcp, tcp4, tcp6 or unix, and address is host:port or a
	// path. ctx ends after DialTimeout. It must be safe for concurrent use. Default: a net.Dialer.
	// If a host name has several addresses, the default starts to try the next one whenever an
	// address has not answered within 250 ms (RFC 8305).
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Logger gets lines about the events of the hooks, and a few more; server/LOGS.md lists them.
	// Every line has the client name under the key client. Conditions that need attention are at
	// Warn or Error, their end, successes and a failover at Info, states at Debug. The handler must
	// not block: the client waits for it. Default: no logging.
	Logger *slog.Logger
	// Hooks are functions that the client calls on events.
	Hooks Hooks

	// Tracer connects messages with the traces of the application. Default: none.
	Tracer Tracer

	// AllowPublishGap lets the client publish to a server without our extensions that lacks
	// acknowledged messages, for example after the loss of its log. The messages stay missing
	// there. Default: ErrPublishGap, as at every other server.
	AllowPublishGap bool

	// DropHeaders sends messages without their headers to servers that lack our extensions, such as
	// AMPS. Default: such a server gets no message with headers, see UnsupportedError. Set it if
	// there is a Tracer, which sets headers, and one of the servers may be such a server.
	DropHeaders bool

	// StartOffline makes Dial return at once, without waiting for the first logon.
	StartOffline bool

	DialTimeout    time.Duration // limit of one attempt to connect; default 5s
	LogonTimeout   time.Duration // limit from the connection to the end of the logon; default 5s
	CommandTimeout time.Duration // limit for the answer to a command; default 10s
	// RecoveryTimeout is the time that a server may take to answer the subscriptions that are
	// resumed after a reconnect. It is also how long a server that is asked for messages removed
	// elsewhere may be away or send nothing (GapError). Default 60s.
	RecoveryTimeout time.Duration
	// HeartbeatInterval is the time between heartbeats on an idle connection, in whole seconds. If
	// the server sends nothing for twice that time, the connection counts as lost. At least 1s;
	// default 1s, and 5s with a server without our extensions.
	HeartbeatInterval time.Duration

	// WindowMessages and WindowBytes bound the messages that are sent and not yet acknowledged by
	// any server.
	WindowMessages int // default 65,536
	WindowBytes    int // default 32 MiB
	// QueueMessages and QueueBytes bound the queue of each subscription.
	QueueMessages int // default 1,024
	QueueBytes    int // default 8 MiB
	// MaxPublishers bounds the publishers that the place of a bookmark subscription names: one for
	// each life of a publish store whose messages the server has on its topics. Each takes about
	// 200 bytes of memory, and 30 bytes in a resume. Beyond the bound the subscription ends with a
	// *TooManyPublishersError. Default 1,000,000, at most 1,048,576. (server.MaxPublishersPerPage
	// is another bound, of a list in the status of a server.)
	MaxPublishers int
	// MaxMessage is the largest message that Publish accepts, in bytes with its header, if no
	// server has stated a limit: before the first logon, and at servers without our extensions.
	// Default 16 MiB, at most 256 MiB. The publish store has its own limit (MaxMessage of its
	// options).
	MaxMessage int
	// MaxFrame is the longest frame that the client accepts from a server, in bytes. A longer
	// message ends its subscription with a *FrameTooLargeError. Default 16 MiB + 64 KiB. A
	// positive value below 64 KiB counts as 64 KiB, because a frame of several messages may be that
	// long.
	MaxFrame int
}

// maxMessage is the upper bound of every limit on messages: the longest record of a journal.
const maxMessage = 256 << 20

// maxName is the longest client name that a server takes, in bytes.
const maxName = 1024

// Check returns the error with which Dial would refuse the configuration, or nil. The error names
// every invalid field. Check connects to no server.
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
	errs = append(errs, c.checkLogon())
	if c.Name == "" && !c.volatile() {
		bad("Name is empty: stores that outlive the process need one")
	}
	if mistake := nameMistake(c.Name); mistake != "" {
		bad("Name %s", mistake)
	}
	for _, field := range c.negativeFields() {
		bad("%s is negative: set a positive value, or 0 for the default", field)
	}
	c.setDefaults()
	if c.HeartbeatInterval != 0 && c.HeartbeatInterval < time.Second || c.HeartbeatInterval%time.Second != 0 {
		bad("HeartbeatInterval %v is not a whole number of seconds", c.HeartbeatInterval)
	}
	if c.MaxMessage > maxMessage {
		bad("MaxMessage %d is above the maximum %d", c.MaxMessage, maxMessage)
	}
	if c.MaxPublishers > wire.MaxVector {
		bad("MaxPublishers %d is above %d, the maximum of a server", c.MaxPublishers, wire.MaxVector)
	}
	if err := errors.Join(errs...); err != nil {
		return c, fmt.Errorf("client configuration: %w", err)
	}
	return c, nil
}

// nameMistake returns the mistake in the text of a client name, or "". An empty one is no mistake.
func nameMistake(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == '[' || r == ']' }) {
		return fmt.Sprintf("%q has a control character or square bracket", name)
	}
	if len(name) > maxName {
		return fmt.Sprintf("of %d bytes is longer than %d bytes", len(name), maxName)
	}
	return ""
}

// negativeFields returns the names and values of the timeouts and bounds that are negative.
func (c *Config) negativeFields() (fields []string) {
	for _, timeout := range []struct {
		field string
		value time.Duration
	}{
		{"DialTimeout", c.DialTimeout}, {"LogonTimeout", c.LogonTimeout},
		{"CommandTimeout", c.CommandTimeout}, {"RecoveryTimeout", c.RecoveryTimeout},
	} {
		if timeout.value < 0 {
			fields = append(fields, fmt.Sprintf("%s %v", timeout.field, timeout.value))
		}
	}
	for _, bound := range []struct {
		field string
		value int
	}{
		{"WindowMessages", c.WindowMessages}, {"WindowBytes", c.WindowBytes}, {"QueueMessages", c.QueueMessages}, {"QueueBytes", c.QueueBytes},
		{"MaxPublishers", c.MaxPublishers}, {"MaxMessage", c.MaxMessage}, {"MaxFrame", c.MaxFrame},
	} {
		if bound.value < 0 {
			fields = append(fields, fmt.Sprintf("%s %d", bound.field, bound.value))
		}
	}
	return fields
}

// volatile reports whether neither store outlives the process.
func (c *Config) volatile() bool {
	_, publishes := c.PublishStore.(*pubstore.Memory)
	_, bookmarks := c.BookmarkStore.(*bookmarkstore.Memory)
	return (publishes || c.PublishStore == nil) && (bookmarks || c.BookmarkStore == nil)
}

func (c *Config) setDefaults() {
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
	if c.PublishStore == nil {
		c.PublishStore = pubstore.NewMemory(pubstore.MemoryOptions{})
	}
	if c.BookmarkStore == nil {
		c.BookmarkStore = bookmarkstore.NewMemory()
	}
}
