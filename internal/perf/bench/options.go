package bench

import (
	"crypto/tls"
	"fmt"
	"io"
	"time"

	"github.com/holdfast-mq/holdfast/client"
)

// A Benchmark is a kind of measurement.
type Benchmark string

// The benchmarks.
const (
	Publish  Benchmark = "publish"  // throughput from the first publish to the last persisted ack
	Latency  Benchmark = "latency"  // time to a persisted ack: one message at a time, or at a rate
	Replay   Benchmark = "replay"   // replay of published messages from EPOCH
	Fanout   Benchmark = "fanout"   // deliveries to live subscribers
	Failover Benchmark = "failover" // kill -9 of the instance in use
)

// Options are the parameters of a run. A zero field means its default.
type Options struct {
	// Servers are the connection URIs of a group. If there are none, Run starts a
	// pair of processes with Command.
	Servers []string
	// Authenticator and TLS are those of client.Config, for Servers.
	Authenticator client.Authenticator
	TLS           *tls.Config
	// Secure gives the started pair TLS on clients and links, and a user with SCRAM. Its clients log on
	// as that user.
	Secure bool
	// Command runs an instance of that pair. Run appends "--config" and a file.
	Command []string
	// DowngradeAfter is the time that the instances of that pair wait for each other. Default 2s.
	DowngradeAfter time.Duration

	Store      string // of the publishers: memory, file (default) or bolt
	SyncAlways bool   // the store syncs each message before it is sent
	Dir        string // holds the temporary directory for stores and journals; default the system's
	Keep       bool   // keep the temporary directory

	Size        int           // bytes of a body; default 256
	Window      int           // messages in flight of each publisher; default 65,536, or as many as fit into 32 MiB
	Publishers  int           // publishing clients; default 1
	Subscribers int           // subscribing clients; default 1 if the benchmark has any
	Messages    int           // total; default as many as are published in Duration
	Duration    time.Duration // of publishing; default 10s, for Replay 1,000,000 messages
	Warmup      time.Duration // of publishing before the measurement; default none
	Rate        float64       // messages per second in total, for Latency, Fanout and Failover

	// Progress gets a line per second. Default: no progress is written.
	Progress io.Writer
	// Stall is the time after which a run without progress is ended. Default 60s.
	Stall time.Duration
}

// An OptionError reports an unusable option.
type OptionError struct{ Text string }

func (e *OptionError) Error() string { return e.Text }

func optionf(format string, args ...any) error {
	return &OptionError{fmt.Sprintf(format, args...)}
}

// Limits and defaults.
const (
	maxPublishers         = 1 << 16 // a body has four hexadecimal digits for the publisher
	maxSize               = 8 << 20
	maxRate               = 1e9
	defaultSize           = 256
	windowMessages        = 65536
	windowBytes           = 32 << 20
	replayMessages        = 1_000_000
	failoverRate          = 10_000
	failoverStoreMessages = 4 << 20 // of a store that must hold the messages of an outage
	failoverStoreBytes    = 1 << 30
	messageOverhead       = 512 // upper bound of a message's bytes beside its body
	defaultDuration       = 10 * time.Second
)

// validate checks the options and fills in the defaults.
func (o *Options) validate(b Benchmark) error {
	o.setDefaults(b)
	for _, wrong := range []struct {
		is   bool
		text string
	}{
		{o.Size < minSize, fmt.Sprintf("size %d is below the minimum of %d bytes", o.Size, minSize)},
		{o.Size > maxSize, fmt.Sprintf("size %d is above the maximum of %d bytes", o.Size, maxSize)},
		{o.Window < 1, "window must be at least 1"},
		{o.Publishers < 1 || o.Publishers > maxPublishers, fmt.Sprintf("publishers must be 1 to %d", maxPublishers)},
		{o.Subscribers < 0, "subscribers can't be negative"},
		{o.Messages < 0 || o.Duration < 0 || o.Warmup < 0, "messages, duration and warmup can't be negative"},
		{o.Messages > 0 && o.Duration > 0, "give messages or duration, not both"},
		{o.Messages > 0 && o.Messages < o.Publishers, "there are fewer messages than publishers"},
		{!(o.Rate >= 0 && o.Rate <= maxRate), fmt.Sprintf("rate must be 0 to %d", int(maxRate))},
		{o.Store != "memory" && o.Store != "file" && o.Store != "bolt", fmt.Sprintf("store is %q: it must be memory, file or bolt", o.Store)},
		{o.Store == "memory" && o.SyncAlways, "a memory store can't be synced"},
		{o.DowngradeAfter < 0, "downgrade-after can't be negative"},
		{o.Secure && len(o.Servers) > 0, "secure is for a pair that the run starts: give no servers"},
	} {
		if wrong.is {
			return optionf("%s", wrong.text)
		}
	}
	return o.validateFor(b)
}

// validateFor checks the options that depend on the benchmark.
func (o *Options) validateFor(b Benchmark) error {
	switch {
	case b == Failover && len(o.Servers) > 0:
		return optionf("failover kills a server, and only one that it has started: give no servers")
	case b == Failover && o.Messages > 0:
		return optionf("failover runs until acks and messages resume: give a duration instead of messages (the kill comes after half of it)")
	case (b == Publish || b == Replay) && o.Rate > 0:
		return optionf("%s runs at full speed: it has no rate", b)
	}
	return nil
}

// setDefaults fills in the defaults.
func (o *Options) setDefaults(b Benchmark) {
	setDefault(&o.Store, "file")
	setDefault(&o.Size, defaultSize)
	setDefault(&o.Publishers, 1)
	if o.Size > 0 {
		setDefault(&o.Window, min(windowMessages, max(1, windowBytes/o.Size)))
	}
	if b == Publish || b == Latency {
		o.Subscribers = 0
	} else {
		setDefault(&o.Subscribers, 1)
	}
	if b == Failover {
		setDefault(&o.Rate, failoverRate)
	}
	switch {
	case o.Messages != 0 || o.Duration != 0:
	case b == Replay:
		o.Messages = replayMessages
	default:
		o.Duration = defaultDuration
	}
	setDefault(&o.DowngradeAfter, 2*time.Second)
	setDefault(&o.Stall, time.Minute)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
