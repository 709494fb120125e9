// Command holdfastd runs one instance of the server.
//
//	holdfastd -config a.yaml
//	holdfastd -config a.yaml -bootstrap
//	holdfastd dev -pair
//	holdfastd secret link.key
//	holdfastd user add -users users.yaml NAME
//	holdfastd lost -config a.yaml [NAME...]
//	holdfastd lost -config a.yaml -end
//
// The second form is for the first start of the first instance of a group, if the others are not
// started with it. Without -bootstrap an instance with an empty journal waits until it has met its
// group, since the group may have messages that it lacks. Later -bootstrap has no effect.
//
// The third form runs a pair to try things out, in a temporary directory; holdfastd dev -help lists
// its flags and the commands that it takes, such as one for a failover. It is not for production.
//
// The fourth form makes the file of a new link secret and exits. All instances of a group get a copy
// of it, for replication.secret.
//
// The fifth form adds a user to a users file; holdfastd user -help lists all that it can do with
// users. Passwords never come from the command line.
//
// The sixth form tells the instance that runs with a.yaml that acknowledged messages are lost and
// that the named instances will not return. It makes a decree, which the seventh form ends. See
// server/DISASTER.md. Both exit with 0 once the instance has done it, or with 1 and the reason.
//
// Standard output gets two lines: "listening …" once the ports are bound, with the actual port
// numbers, and "ready …" once clients are served. The log goes to standard error; server/LOGS.md
// lists its lines. If nobody reads
// them, the instance keeps running: it buffers 1 MiB of the log, drops further lines and counts
// them (log_dropped in /status).
//
// SIGHUP reads the files of users, of certificates, of the link secret and of the admin token
// again, and the part logging of the configuration: level and format of the log. The instance also
// does so by itself within a second after they have changed. If a file cannot be used, its old
// content stays in use, and the log says so. The rest of the configuration is read only at the
// start.
//
// These are the exit codes, and whether a supervisor (server/deploy/holdfastd@.service) restarts
// the process:
//
//	 0  stopped, by SIGTERM, an interrupt or 'holdfast admin drain'     no
//	 1  cannot run for now: a port in use, a second signal              yes
//	 2  a bug: a panic of the Go runtime                                yes
//	 3  the disk has failed or is full: it may be repaired or emptied   yes
//	 4  the journal is damaged, and there is no peer to heal it from    no
//	 5  a newer holdfastd has written the journal; nothing was changed  no
//	78  a configuration or command line that cannot be used             no
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/term"

	"github.com/holdfast-mq/holdfast/internal/buildinfo"
	"github.com/holdfast-mq/holdfast/internal/exitcode"
	"github.com/holdfast-mq/holdfast/internal/visible"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/metrics"
)

const usage = `Usage: holdfastd -config FILE [-bootstrap]
       holdfastd dev -help      an instance or a pair to try things out, in a temporary directory
       holdfastd secret FILE    make a link secret, for replication.secret of all instances of a group
       holdfastd user -help     users of the instance: add, permit, password, remove, list, check
       holdfastd lost -config FILE [NAME...]    declare acknowledged messages lost (server/DISASTER.md)
       holdfastd lost -config FILE -end         end that decree

Exit codes: 0 stopped, 1 cannot run for now, 2 a bug, 3 disk failed or full, 4 journal damaged without a
peer to heal it from, 5 journal written by a newer holdfastd (nothing was changed), 78 configuration or usage.`

func main() {
	if len(os.Args) > 1 && os.Args[1] == "user" {
		// It serves nobody: a signal ends it, and it waits for the reader of its output.
		os.Exit(runUser(os.Args[2:], os.Stdin, terminalSafe(os.Stdout), terminalSafe(os.Stderr)))
	}
	if len(os.Args) > 1 && os.Args[1] == "dev" {
		os.Exit(mainDev(os.Args[2:]))
	}
	signals := signalChannels{make(chan os.Signal, 2), make(chan os.Signal, 1)}
	signal.Notify(signals.stop, os.Interrupt, syscall.SIGTERM)
	signal.Notify(signals.reload, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	stdout, stderr := newOutput(terminalSafe(os.Stdout)), newOutput(terminalSafe(os.Stderr))
	code := run(os.Args[1:], stdout, stderr, signals)
	stdout.close()
	stderr.close()
	os.Exit(code)
}

// signalChannels receive the signals of the process.
type signalChannels struct {
	stop   chan os.Signal
	reload chan os.Signal // SIGHUP; on its own, so that many of them cannot displace one to stop
}

// gcPercent makes the garbage collector run more often than by default. A hostile client can then
// cause little garbage on top of the memory that it holds. The cost is low, since messages are not
// allocated.
const gcPercent = 25

// options are the values of the flags.
type options struct {
	config       string
	acceptDamage bool
	bootstrap    bool
	version      bool
}

// newFlags returns an empty flag set for a command.
func newFlags(command string, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "%s\n\n", usage)
		flags.PrintDefaults()
	}
	return flags
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := newFlags("holdfastd", stderr)
	flags.StringVar(&o.config, "config", "", "YAML `file` that describes the instance")
	flags.BoolVar(&o.acceptDamage, "accept-damage", false, "serve clients from a damaged journal that no peer has healed")
	flags.BoolVar(&o.bootstrap, "bootstrap", false, "with an empty journal, begin a group immediately: for the first start of its first instance, if the peers do not start with it")
	flags.BoolVar(&o.version, "version", false, "print the version and exit")
	err := flags.Parse(args)
	switch {
	case err != nil, o.version:
		return o, err
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.config == "":
		err = errors.New("-config is missing: name the YAML file of the instance")
	}
	if err != nil {
		fmt.Fprintln(stderr, "holdfastd:", err)
	}
	return o, err
}

// run executes the command and returns the exit code.
func run(args []string, stdout io.Writer, stderr *output, signals signalChannels) int {
	switch {
	case len(args) == 0:
	case args[0] == "secret":
		return makeSecret(args[1:], stderr)
	case args[0] == "lost":
		return declareLost(args[1:], stdout, stderr)
	case args[0] == "help":
		args = []string{"-help"}
	}
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitcode.OK
	case err != nil:
		return exitcode.Config
	case o.version:
		fmt.Fprintln(stdout, buildinfo.Version())
		return exitcode.OK
	}
	cfg, err := server.LoadConfig(o.config)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitcode.Config
	}
	cfg.Version, cfg.AcceptDamage, cfg.Bootstrap = buildinfo.Version(), o.acceptDamage, o.bootstrap
	handler := newLogHandler(stderr, cfg.Logging.Format)
	cfg.Logger, cfg.OnLogFormat, cfg.LogDropped = slog.New(handler), handler.setFormat, stderr.dropped.Load
	s, err := server.Start(cfg)
	if err != nil {
		cfg.Logger.Error("the instance did not start", "error", err, "instance", cfg.Name)
		return exitCode(err)
	}
	s.HandleAdmin("/metrics", metrics.Handler(s))
	fmt.Fprintf(stdout, "listening name=%s clients=%s replication=%s admin=%s\n",
		cfg.Name, addrText(s.Addr()), addrText(s.ReplicationAddr()), addrText(s.AdminAddr()))
	return serve(s, cfg, stdout, signals)
}

// makeSecret makes the file of a link secret.
func makeSecret(args []string, stderr io.Writer) int {
	files, err := parseMixed(newFlags("holdfastd secret", stderr), args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitcode.OK
	case err != nil:
		return exitcode.Config
	case len(files) != 1:
		fmt.Fprintf(stderr, "holdfastd: secret takes one FILE, the new file for the secret, such as link.key; there are %d\n", len(files))
		return exitcode.Config
	}
	if err := server.WriteSecret(files[0]); err != nil {
		fmt.Fprintln(stderr, "holdfastd:", err)
		return exitcode.Failed
	}
	return exitcode.OK
}

// serve waits until a signal or a failure ends the instance.
func serve(s *server.Server, cfg server.Config, stdout io.Writer, signals signalChannels) int {
	ready := s.Ready()
	for {
		select {
		case <-ready:
			fmt.Fprintf(stdout, "ready name=%s clients=%s\n", cfg.Name, addrText(s.Addr()))
			ready = nil
		case <-signals.reload:
			_ = s.Reload() // it logs its error
		case <-signals.stop:
			return stop(s, cfg, signals.stop)
		case <-s.Done():
			if s.Err() == nil { // an operator has drained it
				return exitcode.OK
			}
			return exitCode(s.Err())
		}
	}
}

// stop stops the instance in order. A second signal ends the process immediately.
func stop(s *server.Server, cfg server.Config, signals <-chan os.Signal) int {
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	select {
	case <-stopped: // the server has logged an error
		if err := s.Err(); err != nil {
			return exitCode(err)
		}
		return exitcode.OK
	case sig := <-signals:
		cfg.Logger.Error("the process ends now: this is the second signal", "signal", sig, "instance", cfg.Name)
		return exitcode.Failed
	}
}

func exitCode(err error) int {
	var disk *server.DiskError
	var damaged *server.DamagedError
	var newer *server.VersionError
	var config *server.ConfigError
	switch {
	case errors.As(err, &newer):
		return exitcode.NewerFormat
	case errors.As(err, &disk):
		return exitcode.Disk
	case errors.As(err, &damaged):
		return exitcode.Damaged
	case errors.As(err, &config):
		return exitcode.Config
	}
	return exitcode.Failed
}

// terminalSafe returns a writer for a standard file. On a terminal it makes control characters
// visible, so that text from clients and peers cannot affect the terminal.
func terminalSafe(f *os.File) io.Writer {
	if term.IsTerminal(int(f.Fd())) {
		return visible.NewWriter(f)
	}
	return f
}

// addrText returns the text of an address, or "-" if it is nil.
func addrText(a net.Addr) string {
	if a == nil {
		return "-"
	}
	return a.String()
}
