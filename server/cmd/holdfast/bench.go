package main

import (
	"errors"
	"os"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/perf/bench"
)

// benchCommands are the subcommands of "bench".
type benchCommands struct {
	Publish   benchPublish   `cmd:"" help:"Throughput at full speed, from the first publish to the last persisted ack."`
	Latency   benchLatency   `cmd:"" help:"Time to a persisted ack: one message at a time, or at a rate."`
	Subscribe benchSubscribe `cmd:"" aliases:"replay" help:"Replay of published messages from EPOCH."`
	Fanout    benchFanout    `cmd:"" help:"Deliveries to live subscribers."`
	Failover  benchFailover  `cmd:"" help:"Time until acks and messages resume after a kill -9 of the instance in use, under load."`
	Instance  benchInstance  `cmd:"" hidden:"" help:"Run one instance of the pair that a benchmark starts."`
}

// benchFlags are the flags that all benchmarks have.
type benchFlags struct {
	Store      string        `default:"file" enum:"memory,file,bolt" help:"Publish store: ${enum}."`
	SyncAlways bool          `help:"Sync each message to the publish store's disk before it is sent."`
	Dir        string        `type:"path" help:"Parent of the temporary directory for stores and journals, which is removed at the end. Default: the system's directory for temporary files."`
	Keep       bool          `help:"Keep the temporary directory."`
	Size       int           `default:"256" help:"Size of a message body in bytes. Bodies are JSON."`
	Window     int           `help:"Maximum number of messages in flight for each publisher. Default: 65536, or as many as fit into 32 MiB."`
	Publishers int           `default:"1" help:"Number of publishing clients."`
	Warmup     time.Duration `help:"Time to publish before the measurement begins."`
	Secure     bool          `help:"Give the started pair TLS on clients and links, and a user with SCRAM."`
	JSON       bool          `name:"json" help:"Print the result as one JSON object."`
	Progress   bool          `help:"Print progress to standard error once a second, even if it is not a terminal."`
}

// options converts the flags to options of a benchmark.
func (f *benchFlags) options(o *output) bench.Options {
	options := bench.Options{Store: f.Store, SyncAlways: f.SyncAlways, Dir: f.Dir, Keep: f.Keep,
		Size: f.Size, Window: f.Window, Publishers: f.Publishers, Warmup: f.Warmup, Secure: f.Secure}
	if f.Progress || isTerminal(o.err) {
		options.Progress = o.err
	}
	return options
}

// benchGroup are the flags of the benchmarks that can also measure running servers.
type benchGroup struct {
	benchFlags
	Server         []string      `sep:"none" placeholder:"URI" help:"Measure this server instead of a started pair. Repeat for each other server of the group."`
	DowngradeAfter time.Duration `default:"2s" help:"How long the instances of the started pair wait for each other before they acknowledge alone."`
	Messages       int           `help:"Total number of messages to publish."`
	Duration       time.Duration `help:"Time to publish, instead of --messages. Default: 10s (bench subscribe: 1,000,000 messages)."`
	accessFlags
}

// options converts the flags to options of a benchmark.
func (f *benchGroup) options(o *output) bench.Options {
	options := f.benchFlags.options(o)
	options.Servers, options.DowngradeAfter = f.Server, f.DowngradeAfter
	options.Messages, options.Duration = f.Messages, f.Duration
	return options
}

// measure runs a benchmark and prints its result.
func (f *benchGroup) measure(o *output, w bench.Benchmark, options bench.Options) error {
	if len(f.Server) > 0 {
		var cfg client.Config
		if err := errors.Join(f.accessFlags.check(), f.configure(&cfg)); err != nil {
			return err
		}
		f.warn(newScreen(o.err, false), f.Server)
		options.Authenticator, options.TLS = cfg.Authenticator, cfg.TLS
	}
	return f.benchFlags.measure(o, w, options)
}

// benchPublish is "bench publish".
type benchPublish struct{ benchGroup }

// Run implements the command.
func (c *benchPublish) Run(o *output) error { return c.measure(o, bench.Publish, c.options(o)) }

// benchLatency is "bench latency".
type benchLatency struct {
	benchGroup
	Rate float64 `help:"Messages to publish per second, without waiting for acks. A latency begins when its message was due. Default: one message at a time."`
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
	Subscribers int `default:"1" help:"Number of subscribing clients."`
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
	Subscribers int     `default:"1" help:"Number of subscribing clients."`
	Rate        float64 `help:"Messages to publish per second; also measures the time to delivery. Default: as fast as possible."`
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
	DowngradeAfter time.Duration `default:"2s" help:"How long the instances of the started pair wait for each other before they acknowledge alone."`
	Duration       time.Duration `default:"10s" help:"Minimum time to publish. The kill comes after half of it."`
	Rate           float64       `default:"10000" help:"Messages to publish per second."`
	Subscribers    int           `default:"1" help:"Number of subscribing clients."`
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
