package bench

import (
	"fmt"
	"io"
	"time"
)

// A Benchmark is what is measured.
type Benchmark string

// The works.
const (
	Publish  Benchmark = "publish"  // from the first publish to the last persisted ack, as fast as it goes
	Latency  Benchmark = "latency"  // of a persisted ack: one message at a time, or at a rate
	Replay   Benchmark = "replay"   // from EPOCH, of what was published before
	Fanout   Benchmark = "fanout"   // to subscribers that are there while it is published
	Failover Benchmark = "failover" // kill -9 of the instance in use
)

// Options are what a run is of. A zero field means its default.
type Options struct {
	// Servers are the connection URIs of a group. None: a pair of processes
	// is started, see Command.
	Servers []string
	// Command runs an instance of that pair, when "--config" and its file are added.
	Command []string
	// DowngradeAfter is how long the instances of that pair wait for each other. Default 2s.
	DowngradeAfter time.Duration

	Store      string // of the publishers: memory, file (default) or bolt
	SyncAlways bool   // the store syncs each message before it is sent
	Dir        string // where stores, and journals of that pair, are for the time; default the system's
	Keep       bool   // leaves them there

	Size        int           // bytes of a body; default 256
	Window      int           // messages that a publisher has in flight; default 65,536, or what 32 MiB hold
	Publishers  int           // clients that publish; default 1
	Subscribers int           // clients that subscribe; default 1 where there are any
	Messages    int           // in all; default as many as are published in Duration
	Duration    time.Duration // of publishing; default 10s, of Replay 1,000,000 messages
	Warmup      time.Duration // of publishing before anything counts; default none
	Rate        float64       // messages a second in all, of Latency, Fanout and Failover

	// Progress gets a line a second. Default: nobody does.
	Progress io.Writer
	// Stall is how long a run goes on while nothing comes forward. Default 60s.
	Stall time.Duration
}

// An OptionError is an option that can't be used.
type OptionError struct{ Text string }

func (e *OptionError) Error() string { return e.Text }

func optionf(format string, args ...any) error {
	return &OptionError{fmt.Sprintf(format, args...)}
}

// Limits and defaults.
const (
	maxPublishers         = 1 << 16 // what a body has digits for
	maxSize               = 8 << 20
	maxRate               = 1e9
	defaultSize           = 256
	windowMessages        = 65536
	windowBytes           = 32 << 20
	replayMessages        = 1_000_000
	failoverRate          = 10_000
	failoverStoreMessages = 4 << 20 // of a store that must hold what comes in during an outage
	failoverStoreBytes    = 1 << 30
	messageOverhead       = 512 // bytes of a message beside its body, at most
	defaultDuration       = 10 * time.Second
)

// validate checks the options and fills in the defaults.
func (o *Options) validate(w Benchmark) error {
	o.setDefaults(w)
	for _, wrong := range []struct {
		is   bool
		text string
	}{
		{o.Size < minSize, fmt.Sprintf("size is %d, a body has at least %d bytes", o.Size, minSize)},
		{o.Size > maxSize, fmt.Sprintf("size is %d, at most %d bytes are measured", o.Size, maxSize)},
		{o.Window < 1, "window must be at least 1"},
		{o.Publishers < 1 || o.Publishers > maxPublishers, fmt.Sprintf("publishers must be 1 to %d", maxPublishers)},
		{o.Subscribers < 0, "subscribers can't be negative"},
		{o.Messages < 0 || o.Duration < 0 || o.Warmup < 0, "messages, duration and warmup can't be negative"},
		{o.Messages > 0 && o.Duration > 0, "give messages or duration, not both"},
		{o.Messages > 0 && o.Messages < o.Publishers, "there are fewer messages than publishers"},
		{!(o.Rate >= 0 && o.Rate <= maxRate), fmt.Sprintf("rate must be 0 to %d", int(maxRate))},
		{o.Store != "memory" && o.Store != "file" && o.Store != "bolt", fmt.Sprintf("store is %q, it must be memory, file or bolt", o.Store)},
		{o.Store == "memory" && o.SyncAlways, "a memory store can't be synced"},
		{o.DowngradeAfter < 0, "downgrade-after can't be negative"},
	} {
		if wrong.is {
			return optionf("%s", wrong.text)
		}
	}
	return o.validateFor(w)
}

// validateFor checks what depends on the work.
func (o *Options) validateFor(w Benchmark) error {
	switch {
	case w == Failover && len(o.Servers) > 0:
		return optionf("failover kills a server: it does so only to one that it has started, so give no servers")
	case w == Failover && o.Messages > 0:
		return optionf("failover goes on until everything flows again: give duration, half of which is before the kill, instead of messages")
	case (w == Publish || w == Replay) && o.Rate > 0:
		return optionf("%s goes as fast as it can: it has no rate", w)
	}
	return nil
}

// setDefaults fills in the defaults.
func (o *Options) setDefaults(w Benchmark) {
	setDefault(&o.Store, "file")
	setDefault(&o.Size, defaultSize)
	setDefault(&o.Publishers, 1)
	if o.Size > 0 {
		setDefault(&o.Window, min(windowMessages, max(1, windowBytes/o.Size)))
	}
	if w == Publish || w == Latency {
		o.Subscribers = 0
	} else {
		setDefault(&o.Subscribers, 1)
	}
	if w == Failover {
		setDefault(&o.Rate, failoverRate)
	}
	switch {
	case o.Messages != 0 || o.Duration != 0:
	case w == Replay:
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
