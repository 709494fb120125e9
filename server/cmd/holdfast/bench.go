package main

import (
	"errors"
	"os"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/bench"
)

// benchCommands are the subcommands of "bench".
type benchCommands struct {
	Publish   benchPublish   `cmd:"" help:"Throughput: from the first publish to the last persisted ack, as fast as it goes."`
	Latency   benchLatency   `cmd:"" help:"How long a persisted ack takes: one message at a time, or at a rate."`
	Subscribe benchSubscribe `cmd:"" aliases:"replay" help:"Replay from EPOCH of what was published before."`
	Fanout    benchFanout    `cmd:"" help:"Deliveries to subscribers that are there while messages are published."`
	Failover  benchFailover  `cmd:"" help:"kill -9 of the instance in use, under load: when do acks and messages come again?"`
	Instance  benchInstance  `cmd:"" hidden:"" help:"Runs one of the instances that the others start."`
}

// benchFlags are the flags that all benchmarks have.
type benchFlags struct {
	Store      string        `default:"file" enum:"memory,file,bolt" help:"Publish store: ${enum}."`
	SyncAlways bool          `help:"The publish store syncs each message before it is sent."`
	Dir        string        `type:"path" help:"Where a directory for stores and journals is made, and removed at the end; default the system's for temporary files."`
	Keep       bool          `help:"Leave that directory there."`
	Size       int           `default:"256" help:"Bytes of a message's body, which is JSON."`
	Window     int           `help:"Messages that a publisher has in flight at most; default 65536, or what 32 MiB hold."`
	Publishers int           `default:"1" help:"How many clients publish."`
	Warmup     time.Duration `help:"How long is published before anything counts."`
	JSON       bool          `name:"json" help:"Print the result as one JSON object."`
	Progress   bool          `help:"Tell on standard error once a second how far it is, also if that is no terminal."`
}

// options converts the flags to options of a benchmark.
func (f *benchFlags) options(o *output) bench.Options {
	options := bench.Options{Store: f.Store, SyncAlways: f.SyncAlways, Dir: f.Dir, Keep: f.Keep,
		Size: f.Size, Window: f.Window, Publishers: f.Publishers, Warmup: f.Warmup}
	if f.Progress || isTerminal(o.err) {
		options.Progress = o.err
	}
	return options
}

// benchGroup are the flags of the benchmarks that can also measure running servers.
type benchGroup struct {
	benchFlags
	Server         []string      `sep:"none" placeholder:"URI" help:"Measure this server and, when given again, its peers, instead of a pair that is started for the time."`
	DowngradeAfter time.Duration `default:"2s" help:"How long the instances of that pair wait for each other."`
	Messages       int           `help:"How many messages are published in all."`
	Duration       time.Duration `help:"How long is published instead; default 10s, of subscribe 1,000,000 messages."`
}

// options converts the flags to options of a benchmark.
func (f *benchGroup) options(o *output) bench.Options {
	options := f.benchFlags.options(o)
	options.Servers, options.DowngradeAfter = f.Server, f.DowngradeAfter
	options.Messages, options.Duration = f.Messages, f.Duration
	return options
}

// benchPublish is "bench publish".
type benchPublish struct{ benchGroup }

// Run implements the command.
func (c *benchPublish) Run(o *output) error { return c.measure(o, bench.Publish, c.options(o)) }

// benchLatency is "bench latency".
type benchLatency struct {
	benchGroup
	Rate float64 `help:"Publish so many messages a second, whether acks have come or not, and count from when each was due; default one at a time."`
}

// Run implements the command.
func (c *benchLatency) Run(o *output) error {
	options := c.options(o)
	options.Rate = c.Rate
	return c.measure(o, bench.Latency, options)
}

// benchSubscribe is "bench subscribe".
type benchSubscribe struct {
	benchGroup
	Subscribers int `default:"1" help:"How many clients subscribe."`
}

// Run implements the command.
func (c *benchSubscribe) Run(o *output) error {
	options := c.options(o)
	options.Subscribers = c.Subscribers
	return c.measure(o, bench.Replay, options)
}

// benchFanout is "bench fanout".
type benchFanout struct {
	benchGroup
	Subscribers int     `default:"1" help:"How many clients subscribe."`
	Rate        float64 `help:"Publish so many messages a second, and tell how long a delivery takes; default as fast as it goes."`
}

// Run implements the command.
func (c *benchFanout) Run(o *output) error {
	options := c.options(o)
	options.Subscribers, options.Rate = c.Subscribers, c.Rate
	return c.measure(o, bench.Fanout, options)
}

// benchFailover is "bench failover".
type benchFailover struct {
	benchFlags
	DowngradeAfter time.Duration `default:"2s" help:"How long the instances of the pair that it starts wait for each other."`
	Duration       time.Duration `default:"10s" help:"How long is published at least, half of it before the kill."`
	Rate           float64       `default:"10000" help:"Publish so many messages a second."`
	Subscribers    int           `default:"1" help:"How many clients subscribe."`
}

// Run implements the command.
func (c *benchFailover) Run(o *output) error {
	options := c.options(o)
	options.DowngradeAfter, options.Duration = c.DowngradeAfter, c.Duration
	options.Subscribers, options.Rate = c.Subscribers, c.Rate
	return c.measure(o, bench.Failover, options)
}

// measure runs a benchmark and prints its result.
func (f *benchFlags) measure(o *output, w bench.Benchmark, options bench.Options) error {
	ctx, end := interruptible() // a second interrupt ends this process, and so its instances, at once
	defer end(nil)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	options.Command = []string{self, "bench", "instance"}
	result, err := bench.Run(ctx, w, options)
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return benchError(err)
	}
	if f.JSON {
		return o.printJSON(result)
	}
	result.Print(o.out)
	return nil
}

// benchError gives an error of a benchmark its exit code.
func benchError(err error) error {
	if option, ok := errors.AsType[*bench.OptionError](err); ok {
		return &exitError{exitUsage, option}
	}
	if _, ok := errors.AsType[*bench.CountError](err); ok {
		return &exitError{exitFault, err}
	}
	return err
}
