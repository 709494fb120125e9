package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/holdfast-mq/holdfast/internal/dial"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/topic"
)

// A Config is the configuration of an instance. LoadConfig reads it from a file. Name, Data and
// Clients are required, and Group with Replication. Any other zero field means its default.
type Config struct {
	// Name is the name of the instance, unique in its group: at most 64 letters, digits, ".", "_"
	// and "-".
	Name string `yaml:"name"`
	// Group is the name of the group: instances that are failover equivalents of each other. It is
	// required with Replication.
	Group string `yaml:"group"`
	// Data is the directory of the journal.
	Data string `yaml:"data"`
	// Clients describes the client port.
	Clients ClientPort `yaml:"clients"`
	// Replication links the instance with its group. Nil: a lone instance, where a message is safe
	// once it is on the disk of that instance.
	Replication *Replication `yaml:"replication"`
	// MinSync is the number of sync destinations that must always count for acks. A downgrade that
	// would leave fewer does not happen: acks wait instead. Default 0.
	MinSync int `yaml:"min_sync"`
	// Hold is how much of the journal is kept for an absent destination. Beyond it the destination
	// is given up: when it returns it does not get the messages that were removed meanwhile.
	// Default: half of the disk space that is free at start.
	Hold Size `yaml:"hold"`
	// Admin describes the port of /livez, /readyz, /insync, /status and /publishers, and of what
	// HandleAdmin adds. Default: not served.
	Admin AdminPort `yaml:"admin"`
	// Log selects the messages that the journal keeps, and for how long.
	Log LogConfig `yaml:"log"`
	// RejoinTimeout is how long a start waits for a peer that is absent or makes no progress.
	// Default 10s.
	RejoinTimeout Duration `yaml:"rejoin_timeout"`
	// DrainTimeout is the longest time for which Shutdown waits for outstanding acks. Default 10s.
	DrainTimeout Duration `yaml:"drain_timeout"`
	// MaxMessage is the largest message, header included, that clients may publish. Default 16 MiB.
	// Larger messages that are already in a journal of the group are still replicated and
	// delivered.
	MaxMessage Size `yaml:"max_message"`
	// Limits bound the cost of one client.
	Limits Limits `yaml:"limits"`
	// Audit describes the audit log. Default: none.
	Audit AuditConfig `yaml:"audit"`
	// Logging describes the log of the instance.
	Logging LoggingConfig `yaml:"logging"`

	// Authenticator decides which user a client is. Default: the users of Clients.Users. Without
	// both there are no users, and any client may log on.
	Authenticator Authenticator `yaml:"-"`
	// Authorizer decides what users may do. It needs an Authenticator. Default: the permissions of
	// Clients.Users; with an Authenticator every user may do everything.
	Authorizer Authorizer `yaml:"-"`

	// Listen opens the ports. Default: TCP, with package net.
	Listen func(address string) (net.Listener, error) `yaml:"-"`
	// Dial connects to a peer. Default: TCP, with package net.
	Dial func(ctx context.Context, address string) (net.Conn, error) `yaml:"-"`
	// Now is the wall clock for the timestamps of messages. Durations are measured with the
	// monotonic clock instead. Default: the clock of the machine.
	Now func() time.Time `yaml:"-"`
	// Logger receives the log, from Logging.Level on; server/LOGS.md lists its lines. If its handler
	// blocks, nothing but the log waits for it: lines are buffered, then dropped and counted.
	// Default: no log.
	Logger *slog.Logger `yaml:"-"`
	// OnLogFormat is called with Logging.Format when the configuration file was read again. It must
	// not block. Default: nothing is called.
	OnLogFormat func(format string) `yaml:"-"`
	// LogDropped returns the number of lines that Logger's writer has dropped, for Status. Default:
	// always 0.
	LogDropped func() uint64 `yaml:"-"`
	// AcceptDamage lets the instance serve clients from a damaged journal although no peer has
	// healed it.
	AcceptDamage bool `yaml:"-"`
	// Bootstrap lets an instance with an empty journal begin a group immediately. It then serves
	// clients although it has not met its peers, if they stay away for RejoinTimeout. It is meant
	// for the first start of the first instance. An instance that already belongs to a group
	// ignores it. An instance that has lost its disk must not be started with it: it would begin
	// another group, which its peers refuse. A lone instance does not need it.
	Bootstrap bool `yaml:"-"`
	// Version is shown to clients and in Status. Default "dev".
	Version string `yaml:"-"`

	file string    // from which the config was read; empty: none
	fs   seglog.FS // of the journal; default: that of the machine; tests set it through internal/testdoor
}

// A ClientPort describes the port for clients.
type ClientPort struct {
	// Listen is the address, host:port. Port 0 takes a free port.
	Listen string `yaml:"listen"`
	// TLS is the TLS of the port. Nil: clients connect without it.
	TLS *PortTLS `yaml:"tls"`
	// Users is the file of the users that may log on, with their permissions, as holdfastd user makes
	// it. It is read again when it changes. Empty: there are no users, and any client may log on.
	Users string `yaml:"users"`
	// TLSConfig is a configuration for servers, instead of files. The instance uses it as it is.
	TLSConfig *tls.Config `yaml:"-"`
	// Insecure allows clients that do not prove who they are at any address: anybody who can reach
	// the port can publish and subscribe. Without it such a port must have a loopback address.
	Insecure bool `yaml:"insecure"`
}

// An AdminPort describes the admin port, see Server.AdminAddr.
type AdminPort struct {
	// Listen is the address, host:port. Port 0 takes a free port. Empty: there is no admin port.
	Listen string `yaml:"listen"`
	// TLS is the TLS of the port. Nil: requests come without it.
	TLS *PortTLS `yaml:"tls"`
	// TLSConfig is a configuration for servers, instead of files. The instance uses it as it is.
	TLSConfig *tls.Config `yaml:"-"`
	// Token is a file with the token that requests other than /livez and /readyz must present. Only
	// the owner of the file may have access to it. It is read again when it changes.
	Token string `yaml:"token"`
	// BearerToken is the token itself, instead of a file.
	BearerToken string `yaml:"-"`
	// Insecure allows requests without a token or certificate at any address. Without it such a
	// port must have a loopback address.
	Insecure bool `yaml:"insecure"`
}

// Replication describes the links of an instance with its group.
type Replication struct {
	// Listen is the address of the replication port. It may be empty if this instance dials all
	// peers.
	Listen       string        `yaml:"listen"`
	Destinations []Destination `yaml:"destinations"`
	// Peers are the names of instances that replicate to this one without being destinations of it.
	// They dial this instance. Instances that are neither peers nor destinations are refused.
	Peers []string `yaml:"peers"`
	// TLS encrypts the links, in both directions, and proves the names of the peers. Nil: links are
	// not encrypted; use a private network.
	TLS *LinkTLS `yaml:"tls"`
	// TLSConfig is the TLS of the links instead of files. It needs Certificates, RootCAs and
	// ClientCAs, or functions in their place. The instance requires TLS 1.3 and a certificate of
	// the peer with the peer's name.
	TLSConfig *tls.Config `yaml:"-"`
	// Secret is a file with the link secret, as WriteSecret makes it. All instances of the group
	// share it and prove to each other that they know it. Only the owner of the file may have
	// access to it. If any address is not a loopback address, Secret or TLS is required; both may
	// be given. While the secret is replaced, the file has two lines, the old and the new one, and
	// either is accepted. The file is read again when it changes.
	Secret string `yaml:"secret"`
	// SecretKey is the secret itself, 32 bytes, instead of a file.
	SecretKey []byte `yaml:"-"`
	// Insecure allows links without a secret or TLS over any network: anybody who can reach the
	// port and knows the name of a peer can pose as that peer.
	Insecure bool `yaml:"insecure"`
}

// A Destination is a peer that this instance replicates to.
type Destination struct {
	Name string `yaml:"name"`
	// Address is its replication port. Empty: the peer dials this instance.
	Address string `yaml:"address"`
	// Ack is "sync" (acks wait until a message is on its disk) or "async". Default "sync".
	Ack string `yaml:"ack"`
	// Topics are the topics to replicate, in the form of LogConfig.Topics. Default: all.
	Topics []string `yaml:"topics"`
	// DowngradeAfter is how long a message may wait for the peer. After that the peer is
	// downgraded: acks go on without it and say that they are of level single. Default: never.
	DowngradeAfter Duration `yaml:"downgrade_after"`
	// UpgradeWithin ends a downgrade: the peer counts again once the oldest message that waits for
	// it is younger than this. Default: half of DowngradeAfter.
	UpgradeWithin Duration `yaml:"upgrade_within"`
}

// LogConfig selects the messages that the journal keeps, and for how long.
type LogConfig struct {
	// Topics are the topics to log. Default: all. An entry that contains any of ^$.*+?()[]{}|\ is a
	// regular expression, which matches anywhere in a topic: write ^important_topic$, or
	// ^orders\.eu$ for the topic orders.eu. An entry without these characters is one topic.
	Topics []string `yaml:"topics"`
	// Retain is the age up to which messages are kept. It is measured by the monotonic clock
	// while the instance runs, so setting the wall clock removes nothing. Default 168h.
	Retain Duration `yaml:"retain"`
	// RetainBytes is the size of the journal above which the oldest messages are removed. Default:
	// no limit.
	RetainBytes Size `yaml:"retain_bytes"`
	// MinFree is the disk space to keep free, at least two segments. From four segments above it
	// on, the oldest messages are removed whatever their age, except those that a destination
	// lacks. Below it, publishes are refused until enough space is free, and a destination that has
	// been away for RejoinTimeout is given up (see Hold). Below half of it, links take no messages
	// either. Default 5%.
	MinFree Share `yaml:"min_free"`
	// Segment is the size of one file of the journal. Default 64 MiB.
	Segment Size `yaml:"segment"`
}

// defaults returns the values for settings that a file leaves out.
func defaults() Config {
	return Config{
		Log:           LogConfig{Topics: []string{".*"}, Retain: Duration(168 * time.Hour), MinFree: Share{Percent: 5}, Segment: 64 << 20},
		RejoinTimeout: Duration(10 * time.Second),
		DrainTimeout:  Duration(10 * time.Second),
		MaxMessage:    16 << 20,
		Limits:        defaultLimits(),
		Audit:         defaultAudit(),
		Logging:       defaultLogging(),
	}
}

// withDefaults returns c with defaults in its zero fields.
func (c Config) withDefaults() Config {
	d := defaults()
	if c.Log.Topics == nil {
		c.Log.Topics = d.Log.Topics
	}
	orDefault(&c.Log.Retain, d.Log.Retain)
	orDefault(&c.Log.MinFree, d.Log.MinFree)
	orDefault(&c.Log.Segment, d.Log.Segment)
	orDefault(&c.RejoinTimeout, d.RejoinTimeout)
	orDefault(&c.DrainTimeout, d.DrainTimeout)
	orDefault(&c.MaxMessage, d.MaxMessage)
	c.Limits, c.Audit, c.Logging = c.Limits.withDefaults(), c.Audit.withDefaults(), c.Logging.withDefaults()
	orDefault(&c.Version, "dev")
	orDefault(&c.fs, seglog.OS)
	orDefault(&c.Logger, slog.New(slog.DiscardHandler))
	if c.Listen == nil {
		c.Listen = func(address string) (net.Listener, error) { return net.Listen("tcp", address) }
	}
	if c.Dial == nil {
		var d net.Dialer
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return dial.Host(ctx, "tcp", address, d.DialContext)
		}
	}
	if c.LogDropped == nil {
		c.LogDropped = func() uint64 { return 0 }
	}
	return c
}

// orDefault sets a field that is zero.
func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// A configChecker collects the problems of a config. The text of a problem says how to fix it.
type configChecker struct {
	file     string
	tree     *ast.File // the parsed file; nil: the config is not from a file
	problems []error
}

func (k *configChecker) addProblem(field, format string, args ...any) {
	e := &ConfigError{File: k.file, Field: field, Text: fmt.Sprintf(format, args...)}
	if k.tree != nil {
		e.Line = lineOf(k.tree, field)
	}
	k.problems = append(k.problems, e)
}

// validate returns the problems of c joined, in the order of its fields; each is a *ConfigError.
func (c *Config) validate(file string, tree *ast.File) error {
	k := configChecker{file: file, tree: tree}
	k.name("name", c.Name)
	if c.Data == "" {
		k.addProblem("data", "is missing: give the directory of the journal")
	}
	k.listen("clients.listen", c.Clients.Listen, true)
	k.portTLS("clients.tls", c.Clients.TLS, c.Clients.TLSConfig != nil)
	k.users(c)
	k.clientAccess(&c.Clients, c.Clients.Users != "" || c.Authenticator != nil)
	if c.Replication != nil {
		k.name("group", c.Group)
		k.replication(c)
	}
	k.minSync(c)
	k.listen("admin.listen", c.Admin.Listen, false)
	k.portTLS("admin.tls", c.Admin.TLS, c.Admin.TLSConfig != nil)
	k.adminAccess(&c.Admin)
	k.topics("log.topics", c.Log.Topics)
	checkRange(&k, "hold", c.Hold, 0, 1<<62)
	checkRange(&k, "log.retain", c.Log.Retain, Duration(time.Second), Duration(1<<62))
	checkRange(&k, "log.retain_bytes", c.Log.RetainBytes, 0, 1<<62)
	checkRange(&k, "log.min_free", c.Log.MinFree.Bytes, 0, 1<<62)
	if p := c.Log.MinFree.Percent; p < 0 || p > 50 {
		k.addProblem("log.min_free", "is %d%%: it must be from 0%% to 50%%", p)
	}
	checkRange(&k, "log.segment", c.Log.Segment, 64<<10, 4<<30)
	checkRange(&k, "rejoin_timeout", c.RejoinTimeout, Duration(time.Millisecond), Duration(24*time.Hour))
	checkRange(&k, "drain_timeout", c.DrainTimeout, Duration(time.Millisecond), Duration(24*time.Hour))
	checkRange(&k, "max_message", c.MaxMessage, 1<<10, 200_000_000)
	k.limits(c.Limits)
	k.audit(c)
	k.logging(c.Logging)
	return errors.Join(k.problems...)
}

// checkRange checks that a value is between two limits, inclusive.
func checkRange[T interface {
	~int64 | ~int
	fmt.Stringer
}](k *configChecker, field string, value, low, high T) {
	switch {
	case value < low:
		k.addProblem(field, "is %v: it must be at least %v", value, low)
	case value > high:
		k.addProblem(field, "is %v: it must be at most %v", value, high)
	}
}

// name checks a name. Names become part of logs, hellos and hashes.
func (k *configChecker) name(field, name string) {
	if name == "" {
		k.addProblem(field, "is missing: give a name of letters, digits, \".\", \"_\" and \"-\"")
		return
	}
	if len(name) > 64 {
		k.addProblem(field, "has %d characters: it must have at most 64", len(name))
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	for _, r := range strings.TrimLeft(name, letters) {
		k.addProblem(field, "contains %q: it must consist of letters, digits, \".\", \"_\" and \"-\"", r)
		return
	}
}

func (k *configChecker) listen(field, address string, required bool) {
	if address == "" {
		if required {
			k.addProblem(field, "is missing: give host:port; port 0 takes a free port")
		}
		return
	}
	k.address(field, address, 0)
}

func (k *configChecker) address(field, address string, minPort int) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		k.addProblem(field, "is %q: it must be host:port", address)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < minPort || n > 65535 {
		k.addProblem(field, "has the port %q: it must be a number from %d to 65535", port, minPort)
	}
}

func (k *configChecker) topics(field string, topics []string) {
	if topics != nil && len(topics) == 0 {
		k.addProblem(field, "is empty: name a topic or pattern, or remove it to select all topics")
	}
	for i, text := range topics {
		if _, err := topic.Parse(text); err != nil {
			k.addProblem(fmt.Sprintf("%s[%d]", field, i), "%v", err)
		} else if text == "" {
			k.addProblem(fmt.Sprintf("%s[%d]", field, i), "is empty: name a topic or pattern")
		}
	}
}

func (k *configChecker) replication(c *Config) {
	k.listen("replication.listen", c.Replication.Listen, false)
	if len(c.Replication.Destinations)+len(c.Replication.Peers) == 0 {
		k.addProblem("replication", "names no other instance: give destinations or peers, or remove it for a lone instance")
	}
	listens, names := c.Replication.Listen != "", make(map[string]bool)
	for i, d := range c.Replication.Destinations {
		field := fmt.Sprintf("replication.destinations[%d]", i)
		k.peerName(field+".name", d.Name, c.Name, names)
		k.destination(field, d, listens)
	}
	for i, name := range c.Replication.Peers {
		field := fmt.Sprintf("replication.peers[%d]", i)
		if k.peerName(field, name, c.Name, names); !listens {
			k.addProblem(field, "cannot dial this instance: give replication.listen")
		}
	}
	k.linkTLS(c.Replication)
	k.secret(c.Replication)
}

// peerName checks the name of another instance and adds the name to taken.
func (k *configChecker) peerName(field, name, own string, taken map[string]bool) {
	k.name(field, name)
	switch {
	case name == "":
	case name == own:
		k.addProblem(field, "is this instance itself: name another one")
	case taken[name]:
		k.addProblem(field, "names %q a second time: remove it, since a destination may dial this instance anyway", name)
	}
	taken[name] = true
}

func (k *configChecker) destination(field string, d Destination, listens bool) {
	switch {
	case d.Address != "":
		k.address(field+".address", d.Address, 1)
	case !listens:
		k.addProblem(field+".address", "is missing: give it or replication.listen, so that one side can dial the other")
	}
	if d.Ack != "" && d.Ack != "sync" && d.Ack != "async" {
		k.addProblem(field+".ack", "is %q: it must be sync or async", d.Ack)
	}
	k.topics(field+".topics", d.Topics)
	checkRange(k, field+".downgrade_after", d.DowngradeAfter, 0, Duration(365*24*time.Hour))
	if d.Ack == "async" && d.DowngradeAfter != 0 {
		k.addProblem(field+".downgrade_after", "is for sync destinations: remove it, since no ack waits for an async one")
	}
	checkRange(k, field+".upgrade_within", d.UpgradeWithin, 0, Duration(365*24*time.Hour))
	if d.DowngradeAfter >= 0 && d.UpgradeWithin > d.DowngradeAfter {
		k.addProblem(field+".upgrade_within", "is %v: it must be at most downgrade_after, which is %v", d.UpgradeWithin, d.DowngradeAfter)
	}
}

func (k *configChecker) minSync(c *Config) {
	sync := 0
	if c.Replication != nil {
		for _, d := range c.Replication.Destinations {
			if d.Ack != "async" {
				sync++
			}
		}
	}
	if c.MinSync < 0 || c.MinSync > sync {
		k.addProblem("min_sync", "is %d: it must be from 0 to the number of sync destinations, which is %d", c.MinSync, sync)
	}
}
