// Command holdfast publishes and subscribes from the shell, shows how a pair of
// servers is doing and measures it, and looks at what holdfast keeps on disk:
// the journals of instances and the stores of applications, none of which may be
// in use. Of those it only reads; what opening would change is said and left alone.
// Only store repair changes something, if it is told to, and keeps what was there.
//
//	holdfast publish                      lines of a file or of standard input
//	holdfast subscribe                    what is published, as lines or JSON
//	holdfast ping URI…                    do servers answer, and what do they say?
//	holdfast status ADMIN [ADMIN]         both instances of a running pair, side by side
//
//	holdfast journal dump DIR             the records, readable or as JSON
//	holdfast journal verify DIR           is it whole, does it keep the promises?
//	holdfast journal compare DIR1 DIR2    the first difference between two instances
//	holdfast store inspect PATH           what a store keeps and what would be replayed
//	holdfast store verify PATH            can it be opened as it is?
//	holdfast store export PATH            what would be replayed, where a subscription would resume
//	holdfast store repair PATH            makes a damaged store one that can be opened
//
//	holdfast bench publish                messages a second, to the last persisted ack
//	holdfast bench latency                of a persisted ack: one at a time, or --rate
//	holdfast bench subscribe              replay from EPOCH (also: bench replay)
//	holdfast bench fanout                 deliveries to --subscribers that are live
//	holdfast bench failover               kill -9 of the instance in use, under load
//
//	holdfast completion SHELL             the completion script of bash, zsh or fish
//
// It exits with
//
//	0  all is well
//	1  something is wrong with what it looked at: damage, also damage that could
//	   be repaired, a broken promise, a difference, what status calls WRONG, a line
//	   that is too long or was rejected, messages that are no longer in the log, a
//	   server that does not answer ping, fewer messages than --count before
//	   --until-idle, a message lost or repeated while measuring
//	2  usage: flags, a path that holds something else, an input that is not the
//	   one to go on with, a subscription that the server does not offer
//	3  it could not go on: the disk, no server within --timeout, an interrupt of
//	   publish, a measurement that could not be made
//	4  in use by a running process: a store, a journal, a client name
//	5  a newer version of holdfast has written the store or the journal, which is
//	   left as it is
//
// # Publishing
//
// Each line is a message, its bytes as they are without the newline; an empty
// line is an empty message, and the last line needs no newline. With --store a
// run can be killed at any moment: a line is in the store, on disk, if and only
// if the store also says that the input has been read up to there. The same
// command goes on behind that line, after it has read the input again and found
// that it is still the same; what the store keeps is sent. So each line is
// published once. When the servers have the whole input the run ends, and the next
// one is a new publication. (The last thing that it does is to remove FILE.running,
// a file beside the store; who kills it in the instant between that and
// its exit, and runs it again, publishes again.)
//
// The store of an application that was made by pubstore.OpenBolt will do too, when
// that does not run: what it keeps is sent (with an empty --file nothing else),
// under the application's client name.
//
// Without --store, lines are in memory until the servers have them, and a run
// that was interrupted can't be gone on with.
//
// With --json the last line is one object:
//
//	{
//	 "complete": true,     // the input has ended, and the servers have all of it
//	 "topic": "quakes",
//	 "lines": 1707,        // of the input, that are with the servers or in the store
//	 "before": 1340,       // of these, by the runs that this one has gone on with
//	 "bytes": 281874,      // of the input, as many as these lines are
//	 "rejected": 0,        // lines that the servers refused, in this run
//	 "one_disk": 0,        // messages that one server only has so far; the store keeps them
//	 "unacknowledged": 0,  // messages that no server has acknowledged; the store keeps them
//	 "seconds": 0.02,      // of this run
//	 "store": "out.db",
//	 "stopped": "…"        // why it is not complete
//	}
//
// # Subscribing
//
// A message is its body and a newline; a body with newlines is several lines,
// which --json tells apart. To a terminal control characters are written as escapes,
// \u001b for one, unless --raw is given; so is whatever else comes from a
// server. With --store the same command goes on where the last run ended, on whichever server. A message counts as read when it has been
// written: messages that are there at the same time are written together, up to
// --batch, then marked as read on disk together. A kill between the two repeats
// those, and nothing else; of a stream that is slower than the disk that is one
// message. Written to a pipe is not yet read by who is at its other end: what is
// in the pipe when that one dies is lost to it. With --count exactly so many are
// written and marked.
//
// With --out FILE nothing comes twice: how long the file is, and what is read, are
// one transaction, and what a kill has left in the file behind that is cut off.
//
// With --json each message is one object on one line:
//
//	{
//	 "bookmark": "16793650774582128290|43|",  // for --from; the message's identity on every server
//	 "publisher": "16793650774582128290",
//	 "sequence": 43,
//	 "topic": "quakes",
//	 "time": "2026-01-31T12:00:00.000000Z",   // when the server took it
//	 "correlation_id": "…",                   // if the publisher gave one
//	 "json": {"mag": 4.5}                     // the body if it is JSON, without the space between; else
//	 "body": "…"                              // if it is UTF-8; else
//	 "body_base64": "…"
//	}
//
// # Measuring
//
// Without --server, bench starts two instances as processes of its own program,
// with journals in a temporary directory below --dir, and ends them and removes
// it in the end, also after an interrupt. With --server URI, given for each
// server of a group, it measures those; their journals keep the messages, under
// a topic of the run's own, as long as they are told to.
//
// Every run counts: afterwards all messages are replayed from every server, and
// what is lost, repeated or out of order there or at a subscriber is an error
// and no figure.
//
// With --json a run prints one object on one line; its fields are those of
// [github.com/holdfast-mq/holdfast/internal/perf/bench.Result], and their names stay:
//
//	{
//	 "bench": "publish",            // publish, latency, replay, fanout, failover
//	 "messages": 1000000,           // published, without warm-up
//	 "seconds": 2.0,                // first publish to last persisted ack; replay: subscribing to the last message
//	 "msgs_per_s": 500000,          // messages / seconds
//	 "mb_per_s": 128,               // of bodies, in 1,000,000 bytes
//	 "deliveries_per_s": 500000,    // replay, fanout: at all subscribers together
//	 "first_message_us": 900,       // replay: subscribing to the first message
//	 "latency_us": {"p50": 350, "p90": 400, "p99": 700, "p999": 900, "max": 1200},
//	                                // latency: to the persisted ack
//	 "delivery_us": {…},            // fanout with --rate, failover: to the subscriber's loop
//	 "offered_msgs_per_s": 10000,   // with --rate; latencies are then from when a message was due
//	 "failover_ms": {"ack": 2010, "delivery": 8},
//	                                // from the kill to the first ack and message of what was published after it
//	 "lost": 0, "duplicated": 0,    // always 0: otherwise there is no result
//	 "copies": 2,                   // servers on which every message was found
//	 "body": 256,                   // bytes
//	 "window": 65536,               // messages that a publisher has in flight at most
//	 "publishers": 1, "subscribers": 0,
//	 "fsync": "before each ack",    // of the servers
//	 "store": "file",               // memory, file, bolt
//	 "store_fsync": "every 10ms",   // never, every 10ms, before sending
//	 "started_pair": true,          // the servers were processes started for the run
//	 "downgrade_after_ms": 2000,    // of that pair
//	 "cores": 2, "filesystem": "ext4", "go": "go1.26.0", "platform": "linux/amd64"
//	}
//
// What a work does not measure is left out.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"github.com/holdfast-mq/holdfast/internal/format"
	"github.com/holdfast-mq/holdfast/internal/release"
	"github.com/holdfast-mq/holdfast/internal/visible"
)

// The exit codes.
const (
	exitWell   = 0
	exitFound  = 1
	exitUsage  = 2
	exitFailed = 3
	exitInUse  = 4
	exitNewer  = 5
)

// commands are the command line, a field for each noun.
type commands struct {
	Publish   publishCommand   `cmd:"" help:"Publish lines, each once, also through kills and failovers."`
	Subscribe subscribeCommand `cmd:"" help:"Write what is published to a topic, one line a message, and go on through failovers."`
	Ping      pingCommand      `cmd:"" help:"Log on to servers and say what they answer."`
	Journal   journalCommands  `cmd:"" help:"Look at the journal of an instance that does not run."`
	Store     storeCommands    `cmd:"" help:"Look at a publish store or bookmark store that is not in use."`
	Status    statusCommand    `cmd:"" help:"Show what the instances of a running pair say of themselves, side by side."`
	Bench     benchCommands    `cmd:"" help:"Measure what a pair of servers does: one that is running, or one of its own."`

	Completion completionCommand `cmd:"" help:"Print the completion script of a shell: bash, zsh or fish."`
	Complete   completeCommand   `cmd:"" hidden:""`

	Version kong.VersionFlag `help:"Print the version."`
}

func main() { os.Exit(run(os.Args[1:], standard(os.Stdout), standard(os.Stderr))) }

// run is the command; it returns the exit code.
func run(args []string, stdout, stderr io.Writer) (code int) {
	asked := -1 // for help, which exits from within
	parser, err := kong.New(new(commands),
		kong.Name("holdfast"),
		kong.Description("Publishes and subscribes; shows and measures what a pair of servers does; looks at what holdfast keeps on disk, and repairs it. "+
			"Exit codes: 0 all is well, 1 something is wrong, 2 usage, 3 it could not go on, 4 in use by a running process."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { asked = code }),
		kong.Vars{"store_path": pathHelp, "version": release.Version()},
	)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	command, err := parser.Parse(args)
	switch {
	case asked >= 0:
		return asked
	case err != nil:
		fmt.Fprintf(stderr, "holdfast: %v; see %s --help\n", err, commandOf(err))
		return exitUsage
	}
	return exitCode(command.Run(&output{stdout, stderr}), stderr)
}

// commandOf returns the command in whose arguments an error is, as it is typed.
func commandOf(err error) string {
	if e, ok := errors.AsType[*kong.ParseError](err); ok && e.Context != nil {
		if command := e.Context.Selected(); command != nil {
			return command.FullPath()
		}
	}
	return "holdfast"
}

// output is where a command writes: what it was asked for, and what is wrong.
type output struct{ out, err io.Writer }

// printf writes to standard output.
func (o *output) printf(format string, args ...any) { fmt.Fprintf(o.out, format, args...) }

// object writes a JSON object on one line.
func (o *output) object(v any) error { return objects(o.out).Encode(v) }

// objects returns what writes JSON objects, each on one line.
func objects(w io.Writer) *json.Encoder {
	e := json.NewEncoder(visible.JSON(w))
	e.SetEscapeHTML(false)
	return e
}

// report writes a report, as a JSON object or as print shows it to a person, and
// returns errFound unless all is well.
func (o *output) report(asJSON, well bool, report any, print func()) error {
	if !asJSON {
		print()
	} else if err := o.object(report); err != nil {
		return err
	}
	if !well {
		return errFound
	}
	return nil
}

// errFound says that something is wrong with what was looked at, and that this was told.
var errFound = errors.New("something is wrong")

// An exitError is an error that has an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usagef is an error of the person who typed the command.
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// exitCode tells an error and returns its code.
func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return exitWell
	}
	if errors.Is(err, errFound) {
		return exitFound
	}
	fmt.Fprintln(stderr, "holdfast:", err)
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if isNewer(err) {
		fmt.Fprintln(stderr, "holdfast: a newer version of holdfast has written it, and nothing was changed: use that version")
		return exitNewer
	}
	return exitFailed
}

// isNewer reports whether an error is about what a newer version has written.
func isNewer(err error) bool {
	_, newer := errors.AsType[*format.VersionError](err)
	return newer
}
