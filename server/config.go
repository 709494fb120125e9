package server

import (
	"context"
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

// A Config is everything that an instance is told. LoadConfig reads it from a
// file; as a struct its zero fields mean the defaults.
type Config struct {
	// Name of the instance, unique in its group. Letters, digits, ".", "_", "-".
	Name string `yaml:"name"`
	// Group of instances that are failover equivalents of each other. Needed
	// with Replication.
	Group string `yaml:"group"`
	// Data is the directory of the journal.
	Data string `yaml:"data"`
	// Clients is where clients connect.
	Clients Endpoint `yaml:"clients"`
	// Replication links the instance with its group. Nil: a lone instance,
	// for which safe is its own disk.
	Replication *Replication `yaml:"replication"`
	// MinSync is how many sync destinations a downgrade must leave. Default 0.
	MinSync int `yaml:"min_sync"`
	// Hold is how much of the journal is kept for an absent destination
	// before it is given up. Default: half of the disk that is free at start.
	Hold Size `yaml:"hold"`
	// Admin serves /livez, /readyz, /status and /publishers. No address: not at all.
	Admin Endpoint `yaml:"admin"`
	// Log says what the journal keeps.
	Log LogConfig `yaml:"log"`
	// RejoinTimeout is how long a peer that brings no progress holds up the
	// start. Default 10s.
	RejoinTimeout Duration `yaml:"rejoin_timeout"`
	// DrainTimeout is how long Shutdown waits for outstanding acks. Default 10s.
	DrainTimeout Duration `yaml:"drain_timeout"`
	// MaxMessage is the longest message, with its header, that clients may
	// publish. Default 16 MiB. Longer ones that are in a journal of the group
	// already are replicated and delivered all the same.
	MaxMessage Size `yaml:"max_message"`
	// Limits bound what one client can cost.
	Limits Limits `yaml:"limits"`

	// FS is the disk. Default: that of the machine.
	FS seglog.FS `yaml:"-"`
	// Listen and Dial are the network. Default: that of the machine.
	Listen func(address string) (net.Listener, error) `yaml:"-"`
	// Dial connects to a peer.
	Dial func(ctx context.Context, address string) (net.Conn, error) `yaml:"-"`
	// Now is the wall clock that messages are stamped with. What lasts is counted
	// by the monotonic one. Default: that of the machine.
	Now func() time.Time `yaml:"-"`
	// Logger takes the log. Default: none is written.
	Logger *slog.Logger `yaml:"-"`
	// LogDropped counts the lines that Logger's writer has dropped, for Status. Default: none.
	LogDropped func() uint64 `yaml:"-"`
	// AcceptDamage serves clients over a damaged journal although no peer
	// has healed it.
	AcceptDamage bool `yaml:"-"`
	// Bootstrap has an instance with an empty journal begin a group at once, without
	// having met its peers, and serve when they stay away (RejoinTimeout): for the first
	// start of the first one. An instance that belongs to a group already ignores it. One
	// that has lost its disk and is started with it begins another group, which its peers
	// refuse. Without Replication it is not needed.
	Bootstrap bool `yaml:"-"`
	// Version is told to clients and in Status. Default "dev".
	Version string `yaml:"-"`
}

// An Endpoint is an address to listen at, host:port; port 0 takes a free one.
type Endpoint struct {
	Listen string `yaml:"listen"`
}

// Replication is how an instance is linked with its group.
type Replication struct {
	// Listen is where peers connect. It may be empty if this instance dials all of them.
	Listen       string        `yaml:"listen"`
	Destinations []Destination `yaml:"destinations"`
	// Peers are names of instances that may link with this one although it does not
	// replicate to them: they dial it, and replicate here. Nobody else is admitted.
	Peers []string `yaml:"peers"`
	// Secret is a file with the secret that all instances of the group share and prove
	// to each other, as WriteSecret makes it; only its owner may read it. It is needed
	// where an address is not of the loopback interface. Links are not encrypted: they
	// are for a private network.
	Secret string `yaml:"secret"`
	// SecretKey is the secret itself, 32 bytes, in place of a file.
	SecretKey []byte `yaml:"-"`
	// Insecure has the instance link over any network without a secret: whoever
	// reaches its port and knows the name of a peer passes for it.
	Insecure bool `yaml:"insecure"`
}

// A Destination is a peer that this instance replicates to.
type Destination struct {
	Name string `yaml:"name"`
	// Address of its replication port. Empty: it dials us.
	Address string `yaml:"address"`
	// Ack is "sync" (acks wait for its disk) or "async". Default "sync".
	Ack string `yaml:"ack"`
	// Topics are those it gets, as in LogConfig. Default: all.
	Topics []string `yaml:"topics"`
	// DowngradeAfter is how long something may wait for the peer before acks
	// go on without it, saying so. Default: never.
	DowngradeAfter Duration `yaml:"downgrade_after"`
	// UpgradeWithin is how young the oldest that waits must be for the peer
	// to count again. Default: half of DowngradeAfter.
	UpgradeWithin Duration `yaml:"upgrade_within"`
}

// LogConfig says what the journal keeps.
type LogConfig struct {
	// Topics are what is logged. Default: all. One that holds any of
	// ^$.*+?()[]{}|\ is a regular expression, searched anywhere in a topic:
	// write ^important_topic$, and ^orders\.eu$ for the topic orders.eu.
	// One without is that topic alone.
	Topics []string `yaml:"topics"`
	// Retain is the age up to which messages are kept. It counts while the instance
	// runs, by the monotonic clock: setting the wall clock removes nothing. Default 168h.
	Retain Duration `yaml:"retain"`
	// RetainBytes is the size beyond which the oldest go. Default: no bound.
	RetainBytes Size `yaml:"retain_bytes"`
	// MinFree is how much of the disk stays free, at least two segments. Below it the
	// oldest messages go whatever their age, but for what a peer lacks that is there,
	// and until that helps publishes are refused for now; below half of it links take
	// nothing either. Default 5%.
	MinFree Share `yaml:"min_free"`
	// Segment is the size of one file of the journal. Default 64 MiB.
	Segment Size `yaml:"segment"`
}

// defaults are the values of what a file doesn't say.
func defaults() Config {
	return Config{
		Log:           LogConfig{Topics: []string{".*"}, Retain: Duration(168 * time.Hour), MinFree: Share{Percent: 5}, Segment: 64 << 20},
		RejoinTimeout: Duration(10 * time.Second),
		DrainTimeout:  Duration(10 * time.Second),
		MaxMessage:    16 << 20,
		Limits:        defaultLimits(),
	}
}

// withDefaults returns c with its zero fields filled.
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
	c.Limits = c.Limits.withDefaults()
	orDefault(&c.Version, "dev")
	orDefault(&c.FS, seglog.OS)
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

// orDefault sets what is zero.
func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// A checker collects the problems of a config: which value is not as it must be, and
// what to do.
type checker struct {
	file     string
	tree     *ast.File // nil: the config is not from a file
	problems []error
}

func (k *checker) fail(field, format string, args ...any) {
	e := &ConfigError{File: k.file, Field: field, Text: fmt.Sprintf(format, args...)}
	if k.tree != nil {
		e.Line = lineOf(k.tree, field)
	}
	k.problems = append(k.problems, e)
}

// validate returns the problems of c, in the order of its file, each a *ConfigError.
func (c *Config) validate(file string, tree *ast.File) error {
	k := checker{file: file, tree: tree}
	k.name("name", c.Name)
	if c.Data == "" {
		k.fail("data", "is missing: give the directory of the journal")
	}
	k.listen("clients.listen", c.Clients.Listen, true)
	if c.Replication != nil {
		k.name("group", c.Group)
		k.replication(c)
	}
	k.minSync(c)
	k.listen("admin.listen", c.Admin.Listen, false)
	k.topics("log.topics", c.Log.Topics)
	between(&k, "hold", c.Hold, 0, 1<<62)
	between(&k, "log.retain", c.Log.Retain, Duration(time.Second), Duration(1<<62))
	between(&k, "log.retain_bytes", c.Log.RetainBytes, 0, 1<<62)
	between(&k, "log.min_free", c.Log.MinFree.Bytes, 0, 1<<62)
	if p := c.Log.MinFree.Percent; p < 0 || p > 50 {
		k.fail("log.min_free", "is %d%%, it must be from 0%% to 50%%", p)
	}
	between(&k, "log.segment", c.Log.Segment, 64<<10, 4<<30)
	between(&k, "rejoin_timeout", c.RejoinTimeout, Duration(time.Millisecond), Duration(24*time.Hour))
	between(&k, "drain_timeout", c.DrainTimeout, Duration(time.Millisecond), Duration(24*time.Hour))
	between(&k, "max_message", c.MaxMessage, 1<<10, 200_000_000)
	k.limits(c.Limits)
	return errors.Join(k.problems...)
}

// between checks that a value is inside its limits.
func between[T interface {
	~int64 | ~int
	fmt.Stringer
}](k *checker, field string, value, least, most T) {
	switch {
	case value < least:
		k.fail(field, "is %v, it must be at least %v", value, least)
	case value > most:
		k.fail(field, "is %v, it must be at most %v", value, most)
	}
}

// name checks what becomes part of logs, hellos and hashes.
func (k *checker) name(field, name string) {
	if name == "" {
		k.fail(field, "is missing: give a name of letters, digits, \".\", \"_\" and \"-\"")
		return
	}
	if len(name) > 64 {
		k.fail(field, "has %d characters, it must have at most 64", len(name))
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	for _, r := range strings.TrimLeft(name, letters) {
		k.fail(field, "holds %q, it must be of letters, digits, \".\", \"_\" and \"-\"", r)
		return
	}
}

func (k *checker) listen(field, address string, needed bool) {
	if address == "" {
		if needed {
			k.fail(field, "is missing: give host:port, port 0 takes a free one")
		}
		return
	}
	k.address(field, address, 0)
}

func (k *checker) address(field, address string, least int) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		k.fail(field, "is %q, it must be host:port", address)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < least || n > 65535 {
		k.fail(field, "has the port %q, it must be a number from %d to 65535", port, least)
	}
}

func (k *checker) topics(field string, topics []string) {
	if topics != nil && len(topics) == 0 {
		k.fail(field, "is empty: name a topic or pattern, or leave it out for all")
	}
	for i, text := range topics {
		if _, err := topic.Parse(text); err != nil {
			k.fail(fmt.Sprintf("%s[%d]", field, i), "%v", err)
		} else if text == "" {
			k.fail(fmt.Sprintf("%s[%d]", field, i), "is empty: name a topic or pattern")
		}
	}
}

func (k *checker) replication(c *Config) {
	k.listen("replication.listen", c.Replication.Listen, false)
	if len(c.Replication.Destinations)+len(c.Replication.Peers) == 0 {
		k.fail("replication", "names nobody to link with: give destinations or peers, or leave it out for a lone instance")
	}
	listens, names := c.Replication.Listen != "", make(map[string]bool)
	for i, d := range c.Replication.Destinations {
		field := fmt.Sprintf("replication.destinations[%d]", i)
		k.other(field+".name", d.Name, c.Name, names)
		k.destination(field, d, listens)
	}
	for i, name := range c.Replication.Peers {
		field := fmt.Sprintf("replication.peers[%d]", i)
		if k.other(field, name, c.Name, names); !listens {
			k.fail(field, "can't dial us without replication.listen: give that")
		}
	}
	k.secret(c.Replication)
}

// other checks the name of another instance, which it adds to those that are taken.
func (k *checker) other(field, name, own string, taken map[string]bool) {
	k.name(field, name)
	switch {
	case name == "":
	case name == own:
		k.fail(field, "is this instance itself: name the peer")
	case taken[name]:
		k.fail(field, "names %q a second time: one that is a destination may dial us anyhow", name)
	}
	taken[name] = true
}

func (k *checker) destination(field string, d Destination, listens bool) {
	switch {
	case d.Address != "":
		k.address(field+".address", d.Address, 1)
	case !listens:
		k.fail(field+".address", "is missing: give it, or replication.listen, so that one side can dial")
	}
	if d.Ack != "" && d.Ack != "sync" && d.Ack != "async" {
		k.fail(field+".ack", "is %q, it must be sync or async", d.Ack)
	}
	k.topics(field+".topics", d.Topics)
	between(k, field+".downgrade_after", d.DowngradeAfter, 0, Duration(365*24*time.Hour))
	if d.Ack == "async" && d.DowngradeAfter != 0 {
		k.fail(field+".downgrade_after", "is for sync destinations: leave it out, no ack waits for an async one")
	}
	between(k, field+".upgrade_within", d.UpgradeWithin, 0, Duration(365*24*time.Hour))
	if d.DowngradeAfter >= 0 && d.UpgradeWithin > d.DowngradeAfter {
		k.fail(field+".upgrade_within", "is %v, it must be at most downgrade_after, %v", d.UpgradeWithin, d.DowngradeAfter)
	}
}

func (k *checker) minSync(c *Config) {
	sync := 0
	if c.Replication != nil {
		for _, d := range c.Replication.Destinations {
			if d.Ack != "async" {
				sync++
			}
		}
	}
	if c.MinSync < 0 || c.MinSync > sync {
		k.fail("min_sync", "is %d, it must be from 0 to the number of sync destinations, %d", c.MinSync, sync)
	}
}
