// Command holdfast publishes and subscribes from the shell, shows the state of a
// pair of servers, measures it, and examines files of holdfast: the journals of
// instances and the stores of applications.
//
// It examines a journal or a store only while no process uses it. The commands for
// that only read: they report the changes that opening would make, and make none.
// The exceptions are journal trim, which removes old segments, and store repair
// with --yes, which keeps a copy of the damaged store.
//
//	holdfast publish                      publish the lines of a file or of standard input
//	holdfast subscribe                    print messages as lines or JSON
//	holdfast ping URI…                    log on to servers and print their answers
//	holdfast status ADMIN…                show running instances side by side; --brief: for scripts
//
//	holdfast admin single ADMIN PEER      leave a peer out of acks, before it is stopped
//	holdfast admin count ADMIN PEER       let acks wait for it again
//	holdfast admin drain ADMIN            stop an instance after its outstanding acks
//	holdfast admin disconnect ADMIN CLIENT  end the session of a client
//	holdfast admin log-level ADMIN LEVEL  set the lowest level of the log
//
//	holdfast journal dump DIR             print the records, readable or as JSON
//	holdfast journal verify DIR           check checksums, order and identities
//	holdfast journal compare DIR1 DIR2    find the first difference between two instances
//	holdfast journal trim DIR             remove the oldest segments of a stopped instance
//	holdfast store inspect PATH           show the kept messages, or the places of subscriptions
//	holdfast store verify PATH            check that a store can be opened as it is
//	holdfast store export PATH            print the messages to be replayed, or the places
//	holdfast store repair PATH            turn a damaged store into one that can be opened
//
//	holdfast bench publish                messages per second, up to the last persisted ack
//	holdfast bench latency                time to a persisted ack: one at a time, or --rate
//	holdfast bench subscribe              replay from EPOCH (also: bench replay)
//	holdfast bench fanout                 deliveries to --subscribers that are live
//	holdfast bench failover               kill -9 of the instance in use, under load
//
//	holdfast completion SHELL             print the completion script of bash, zsh or fish
//
// The exit codes are
//
//	0  all is well
//	1  the command found a fault: damage (also damage that can be repaired), a
//	   broken promise, a difference, a problem that status lists under WRONG, a
//	   line that is too long or was rejected, an action that the instance did not do,
//	   messages that are no longer in the log, a server that does not answer ping,
//	   fewer messages than --count before --until-idle, a message lost or repeated
//	   during a measurement
//	2  usage: wrong flags, a path that holds something else, an input that differs
//	   from the one of the interrupted run, a subscription, a user, a password, a
//	   client name or a user of a store that the servers refuse, also if --timeout
//	   ends the attempts; an action of admin without permission
//	3  the command could not continue: a disk error, no server within --timeout for
//	   another reason, an interrupt of publish, a measurement that failed, an instance
//	   that does not answer admin
//	4  a running process uses the store, the journal or the client name
//	5  a newer version of holdfast has written the store or the journal; it is left
//	   as it is
//	6  status --brief: degraded
//	7  status --brief: an instance does not answer
//
// # Servers, users and TLS
//
// publish, subscribe and ping take the URIs of the servers from --server, or the arguments
// of ping: repeated, or separated by commas.
//
// publish, subscribe, ping and bench log on with --user and --password-file, and connect
// to tcps servers with --tls-ca, --tls-cert and --tls-key. By default they prove the
// password (SCRAM), and the server must prove that it knows it; --auth password sends
// the password, for servers without SCRAM. status and admin send --admin-token-file to the
// admin endpoints, and have the same flags about TLS. There is no flag or variable for a password itself: every user of the machine
// can read the arguments of a process, and its children inherit its environment.
//
// Flags win over their variables, which [client.ConfigFromEnv] reads too:
//
//	HOLDFAST_SERVERS HOLDFAST_NAME
//	HOLDFAST_USER HOLDFAST_PASSWORD_FILE HOLDFAST_AUTH
//	HOLDFAST_TLS_CA HOLDFAST_TLS_CERT HOLDFAST_TLS_KEY
//	HOLDFAST_ADMIN_TOKEN_FILE
//
// bench does not read HOLDFAST_SERVERS, so that it loads no server by mistake. Do not export
// HOLDFAST_NAME in a shell that runs two commands at once: only one session may have a name.
//
// Three refusals in a row of the user, the password, the client name or the user of the
// store end publish and subscribe. ping tells of the first one.
//
// # Acting on an instance
//
// The commands under admin need the token of the instance (--admin-token-file). The instance
// writes each of them to its audit log. With --json admin prints one object on one line:
//
//	{
//	 "done": true,    // false: the instance has not done it
//	 "text": "…"      // the result, or why it was not done
//	}
//
// # Publishing
//
// Each line is one message: its bytes without the newline. An empty line is an
// empty message. The last line needs no newline.
//
// With --store FILE a run can be killed at any moment, and each line is published
// once. The store records how far the input has been read, in the same transaction
// as the lines. The same command then continues after the last recorded line. First
// it reads the input again up to that line and checks that it has not changed. It
// also sends the messages that the store still keeps.
//
// A run is complete when the servers have the whole input. The next run with the
// same store starts from the beginning of its input. At the very end a run removes
// FILE.running, a file beside the store. If it is killed between that step and its
// exit, the same command publishes the input again.
//
// The store of an application also works, if pubstore.OpenBolt made it and the
// application does not run. The command sends the messages that the store keeps,
// under the client name of the application. With an empty --file it sends nothing
// else.
//
// Without --store, lines are in memory until the servers have them. An interrupted
// run then cannot be continued.
//
// With --json the last line is one object:
//
//	{
//	 "complete": true,     // the input has ended, and the servers have all of it
//	 "topic": "quakes",
//	 "lines": 1707,        // lines of the input that the servers or the store have
//	 "before": 1340,       // of these, lines read by the earlier runs that this one continued
//	 "bytes": 281874,      // length of these lines in the input
//	 "rejected": 0,        // lines that the servers rejected, in this run
//	 "one_disk": 0,        // messages that only one server has so far; the store keeps them
//	 "unacknowledged": 0,  // messages that no server has acknowledged; the store keeps them
//	 "seconds": 0.02,      // duration of this run
//	 "store": "out.db",
//	 "stopped": "…"        // why it is not complete
//	}
//
// # Subscribing
//
// Each message is printed as its body and a newline. A body with newlines takes
// several lines; use --json to tell messages apart. On a terminal, control
// characters in bodies and in any other text from a server are printed as escapes,
// such as \u001b. With --raw bodies are printed as they are.
//
// With --store the same command continues where the last run ended, on any server of
// the group. A message counts as read once it is written. Messages that are there
// at the same time are written as one batch of up to --batch messages, then recorded
// as read on disk. A kill between these two steps repeats that batch and nothing
// else. If messages come more slowly than the disk works, a batch is one message.
// With --count exactly that many messages are written and recorded.
//
// A message that is written to a pipe is recorded as read, although the process at
// the other end may not have read it. If that process dies, it loses the messages
// that are in the pipe.
//
// With --out FILE no message comes twice. The length of the file and the read
// messages are recorded in one transaction. After a kill, the next run cuts off the
// part of the file after the recorded length.
//
// With --json each message is one object on one line:
//
//	{
//	 "bookmark": "16793650774582128290|43|",  // for --from; the message's identity on every server
//	 "publisher": "16793650774582128290",
//	 "sequence": 43,
//	 "topic": "quakes",
//	 "time": "2026-01-31T12:00:00.000000Z",   // when the server accepted it
//	 "correlation_id": "…",                   // if the publisher gave one; else, if it is not UTF-8,
//	 "correlation_id_base64": "…",
//	 "headers": {"tenant": "eu"},             // if the publisher set any
//	 "headers_base64": {"key": "…"},          // of these, the ones whose values are not UTF-8
//	 "json": {"mag": 4.5}                     // the body if it is JSON, without insignificant space; else
//	 "body": "…"                              // the body if it is UTF-8; else
//	 "body_base64": "…"
//	}
//
// # Measuring
//
// Without --server, bench starts two instances as processes of its own program.
// Their journals are in a temporary directory below --dir. At the end, also after
// an interrupt, bench stops the instances and removes the directory. With --server
// URI, given once for each server of a group, bench measures those servers. Their
// journals keep the messages for their usual retention, under a topic that is
// unique to the run.
//
// Every run checks its messages: afterwards it replays all of them from every
// server. If a message is lost, repeated or out of order, on a server or at a
// subscriber, the run ends with an error and prints no result.
//
// With --json a run prints one object on one line. Its fields are those of
// [github.com/holdfast-mq/holdfast/internal/perf/bench.Result]; their names do not
// change:
//
//	{
//	 "bench": "publish",            // publish, latency, replay, fanout, failover
//	 "messages": 1000000,           // published, without warm-up
//	 "seconds": 2.0,                // first publish to last persisted ack; replay: subscribe to last message
//	 "msgs_per_s": 500000,          // messages / seconds
//	 "mb_per_s": 128,               // of bodies, in 1,000,000 bytes
//	 "deliveries_per_s": 500000,    // replay, fanout: at all subscribers together
//	 "first_message_us": 900,       // replay: subscribe to first message
//	 "latency_us": {"p50": 350, "p90": 400, "p99": 700, "p999": 900, "max": 1200},
//	                                // latency: to the persisted ack
//	 "delivery_us": {…},            // fanout with --rate, failover: to the subscriber's loop
//	 "offered_msgs_per_s": 10000,   // with --rate; latencies then begin when a message was due
//	 "failover_ms": {"ack": 2010, "delivery": 8},
//	                                // from the kill to the first ack, and to the first delivery, of a message published after it
//	 "lost": 0, "duplicated": 0,    // always 0: otherwise there is no result
//	 "copies": 2,                   // servers on which every message was found
//	 "body": 256,                   // bytes
//	 "window": 65536,               // maximum of messages in flight of one publisher
//	 "publishers": 1, "subscribers": 0,
//	 "fsync": "before each ack",    // of the servers
//	 "store": "file",               // memory, file, bolt
//	 "store_fsync": "every 10ms",   // never, every 10ms, before sending
//	 "started_pair": true,          // the run started the servers itself
//	 "downgrade_after_ms": 2000,    // of that pair
//	 "cores": 2, "filesystem": "ext4", "go": "go1.26.0", "platform": "linux/amd64"
//	}
//
// Fields that a benchmark does not measure are left out.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/alecthomas/kong"

	"github.com/holdfast-mq/holdfast/internal/buildinfo"
	"github.com/holdfast-mq/holdfast/internal/fileversion"
	"github.com/holdfast-mq/holdfast/internal/visible"
)

// The exit codes.
const (
	exitOK     = 0
	exitFault  = 1
	exitUsage  = 2
	exitFailed = 3
	exitInUse  = 4
	exitNewer  = 5

	exitDegraded    = 6 // of status --brief
	exitUnreachable = 7 // of status --brief
)

// commands is the command line, with one field for each command or group of commands.
type commands struct {
	Publish   publishCommand   `cmd:"" help:"Publish lines, each once, even across kills and failovers."`
	Subscribe subscribeCommand `cmd:"" help:"Print the messages of a topic, one per line, even across failovers."`
	Ping      pingCommand      `cmd:"" help:"Log on to servers and print their answers."`
	Journal   journalCommands  `cmd:"" help:"Examine the journal of a stopped instance."`
	Store     storeCommands    `cmd:"" help:"Examine or repair a publish store or bookmark store that is not in use."`
	Status    statusCommand    `cmd:"" help:"Show the state of running instances side by side, or for scripts (--brief)."`
	Admin     adminCommands    `cmd:"" help:"Act on a running instance: leave a peer out of acks, drain, disconnect a client, set the log level."`
	Bench     benchCommands    `cmd:"" help:"Measure a pair of servers: a running one, or one that the command starts."`

	Completion completionCommand `cmd:"" help:"Print the completion script of a shell: bash, zsh or fish."`
	Complete   completeCommand   `cmd:"" hidden:""`

	Version kong.VersionFlag `help:"Print the version."`
}

func main() { os.Exit(run(os.Args[1:], standardWriter(os.Stdout), standardWriter(os.Stderr))) }

// run executes the command line and returns the exit code.
func run(args []string, stdout, stderr io.Writer) (code int) {
	parserExit := -1 // exit code of --help and --version, which exit inside the parser
	parser, err := kong.New(new(commands),
		kong.Name("holdfast"),
		kong.Description("Publishes and subscribes, shows and measures a pair of servers, and examines and repairs journals and stores on disk. "+
			"Exit codes: 0 all is well, 1 a fault was found, 2 usage, 3 the command could not continue, 4 in use by a running process, 5 written by a newer version; of status --brief also 6 degraded, 7 unreachable."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { parserExit = code }),
		kong.Vars{"store_path": pathHelp, "version": buildinfo.Version()},
	)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	if len(args) > 0 && args[0] == "help" {
		args = append(slices.Clone(args[1:]), "--help")
	}
	command, err := parser.Parse(args)
	switch {
	case parserExit >= 0:
		return parserExit
	case err != nil:
		fmt.Fprintf(stderr, "holdfast: %v; see %s --help\n", err, commandOf(err))
		return exitUsage
	}
	return exitCode(command.Run(&output{stdout, stderr}), stderr)
}

// commandOf returns the command that an error of the parser is about, as it is typed.
func commandOf(err error) string {
	if e, ok := errors.AsType[*kong.ParseError](err); ok && e.Context != nil {
		if command := e.Context.Selected(); command != nil {
			return command.FullPath()
		}
	}
	return "holdfast"
}

// output holds the two streams of a command: out for its results, err for messages.
type output struct{ out, err io.Writer }

// printf writes to standard output.
func (o *output) printf(format string, args ...any) { fmt.Fprintf(o.out, format, args...) }

// printJSON writes a JSON object on one line.
func (o *output) printJSON(v any) error { return jsonEncoder(o.out).Encode(v) }

// jsonEncoder returns an encoder that writes JSON objects, each on one line.
func jsonEncoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(visible.NewJSONWriter(w))
	e.SetEscapeHTML(false)
	return e
}

// report writes a report, as a JSON object or by print for people. It returns
// errFault unless all is well.
func (o *output) report(asJSON, well bool, report any, print func()) error {
	if !asJSON {
		print()
	} else if err := o.printJSON(report); err != nil {
		return err
	}
	if !well {
		return errFault
	}
	return nil
}

// errFault reports a fault that the command has already printed.
var errFault = errors.New("a fault was found")

// errPrinted is the error in an exitError whose reason the command has already printed.
var errPrinted = errors.New("the reason is printed")

// An exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usageErrorf returns a usage error: the user made a mistake.
func usageErrorf(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// exitCode prints an error and returns its exit code.
func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errFault) {
		return exitFault
	}
	if !errors.Is(err, errPrinted) {
		fmt.Fprintln(stderr, "holdfast:", err)
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if isNewer(err) {
		fmt.Fprintln(stderr, "holdfast: a newer version of holdfast has written this data: use that version (nothing was changed)")
		return exitNewer
	}
	return exitFailed
}

// isNewer reports whether an error is about data that a newer version has written.
func isNewer(err error) bool {
	_, newer := errors.AsType[*fileversion.VersionError](err)
	return newer
}
