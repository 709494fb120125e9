package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/holdfast-mq/holdfast/internal/buildinfo"
	"github.com/holdfast-mq/holdfast/internal/exitcode"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/metrics"
)

const devUsage = `Usage: holdfastd dev [-pair] [-users] [-tls] [-port N] [-keep]

Runs an instance, or a pair, to try things out on this machine. It is not for production: the journals are in a
temporary directory, which is removed at the end, and without -users every process of the machine is a client.

  -pair    two instances, a and b, each of which replicates to the other
  -users   clients log on as the user dev, who may do everything; the password is in a file
  -tls     TLS for clients, links and operators, with certificates that are made for this run
  -port N  ports N and N+1 for the clients of a and b, N+2 and N+3 for operators, N+4 and N+5 for the links;
           default: free ports
  -keep    keep the directory, with journals and configurations: holdfastd -config DIR/a.yaml continues with it

Once clients are served it prints lines to paste into other terminals. Commands on standard input:

  kill a   ends a as kill -9 would: its clients go on at b
  start a  starts it again

An interrupt, SIGTERM or the end of the terminal stops it in order; a second one stops it immediately.

Exit codes: 0 stopped, 78 usage; the others as for holdfastd -config.`

// devOptions are the flags of holdfastd dev.
type devOptions struct {
	pair, users, tls, keep bool
	port                   int // 0: free ports
}

func parseDev(args []string, stderr io.Writer) (o devOptions, err error) {
	flags := newFlags("holdfastd dev", stderr)
	flags.Usage = func() { fmt.Fprintln(stderr, devUsage) }
	flags.BoolVar(&o.pair, "pair", false, "")
	flags.BoolVar(&o.users, "users", false, "")
	flags.BoolVar(&o.tls, "tls", false, "")
	flags.BoolVar(&o.keep, "keep", false, "")
	flags.IntVar(&o.port, "port", 0, "")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	const most = 65535 - 5
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.port < 0 || o.port > most:
		err = fmt.Errorf("-port is %d: it must be from 1 to %d, or 0 for free ports", o.port, most)
	}
	if err != nil {
		fmt.Fprintf(stderr, "holdfastd: %v (holdfastd dev -help)\n", err)
	}
	return o, err
}

// A dev is a run of holdfastd dev.
type dev struct {
	devOptions
	dir       string // temporary
	instances []*devInstance
	welcomed  bool // the lines to paste were printed
	stdout    io.Writer
	stderr    *output
	log       *slog.Logger
}

// A devInstance is an instance of a dev.
type devInstance struct {
	name                  string
	config                string // path of its configuration
	clients, admin, links string // addresses

	log    *processLog
	server *server.Server  // nil: it does not run
	ready  <-chan struct{} // nil: it does not run, or was reported as ready
	done   <-chan struct{} // nil: it does not run
}

// mainDev executes holdfastd dev with the standard files and the signals of the process. It returns
// the exit code.
func mainDev(args []string) int {
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup ignores it
		signal.Notify(stop, syscall.SIGHUP)
	}
	signal.Ignore(syscall.SIGPIPE)
	ignoreTerminalInput()
	stdout, stderr := newOutput(terminalSafe(os.Stdout)), newOutput(terminalSafe(os.Stderr))
	defer stderr.close()
	defer stdout.close()
	return runDev(args, os.Stdin, stdout, stderr, stop)
}

// A processLog is the log of one run of an instance. A killed process writes nothing more.
type processLog struct {
	w     io.Writer
	ended atomic.Bool
}

func (l *processLog) Write(line []byte) (int, error) {
	if l.ended.Load() {
		return len(line), nil
	}
	return l.w.Write(line)
}

// terse returns a log of the conditions that need attention.
func terse(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// runDev executes holdfastd dev and returns the exit code.
func runDev(args []string, in io.Reader, stdout io.Writer, stderr *output, stop <-chan os.Signal) int {
	o, err := parseDev(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitcode.OK
	case err != nil:
		return exitcode.Config
	}
	d := &dev{devOptions: o, stdout: stdout, stderr: stderr, log: terse(stderr)}
	if err := d.execute(in, stop); err != nil {
		fmt.Fprintln(stderr, "holdfastd:", err)
		return exitCode(err)
	}
	return exitcode.OK
}

// execute runs the instances until a signal or the failure of one of them.
func (d *dev) execute(in io.Reader, stop <-chan os.Signal) (err error) {
	if d.dir, err = os.MkdirTemp("", "holdfast-dev-"); err != nil {
		return err
	}
	defer d.removeDir()
	ports, err := holdPorts(d.port)
	if err != nil {
		return err
	}
	defer ports.free()
	if err := d.makeFiles(ports.addresses); err != nil {
		return err
	}
	defer d.closeInstances()
	for _, i := range d.instances {
		if err := d.start(i); err != nil {
			return err
		}
	}
	return d.serve(linesOf(in), stop)
}

// removeDir removes the directory, or says where it is.
func (d *dev) removeDir() {
	if d.keep {
		d.say("The journals and configurations are in %s.", d.dir)
	} else if err := os.RemoveAll(d.dir); err != nil {
		d.say("The directory cannot be removed: %v", err)
	}
}

func (d *dev) closeInstances() {
	for _, i := range d.instances {
		if i.server != nil {
			i.server.Close()
		}
	}
}

// linesOf returns the lines of a text as they come. The channel is closed at its end.
func linesOf(in io.Reader) <-chan string {
	lines := make(chan string)
	go func() { // it ends with the text, or with the process
		defer close(lines)
		for scan := bufio.NewScanner(in); scan.Scan(); {
			lines <- scan.Text()
		}
	}()
	return lines
}

// start starts an instance. It does not wait until it is ready.
func (d *dev) start(i *devInstance) error {
	cfg, err := server.LoadConfig(i.config)
	if err != nil {
		return err
	}
	i.log = &processLog{w: d.stderr}
	cfg.Version, cfg.Logger, cfg.LogDropped = buildinfo.Version(), terse(i.log), d.stderr.dropped.Load
	if i.server, err = server.Start(cfg); err != nil {
		return err
	}
	i.server.HandleAdmin("/metrics", metrics.Handler(i.server))
	i.ready, i.done = i.server.Ready(), i.server.Done()
	return nil
}

// serve executes commands until a signal comes or an instance fails.
func (d *dev) serve(lines <-chan string, stop <-chan os.Signal) error {
	a, b := d.instances[0], new(devInstance)
	if d.pair {
		b = d.instances[1]
	}
	for {
		select {
		case <-a.ready:
			d.served(a)
		case <-b.ready:
			d.served(b)
		case <-a.done:
			return a.server.Err()
		case <-b.done:
			return b.server.Err()
		case line, open := <-lines:
			if !open {
				lines = nil
				continue
			}
			d.command(strings.Fields(line))
		case <-stop:
			return d.shutdown(stop)
		}
	}
}

// served reports that an instance serves clients. Once all do, it prints the lines to paste.
func (d *dev) served(i *devInstance) {
	i.ready = nil
	if d.welcomed {
		d.say("%s serves clients.", i.name)
		return
	}
	d.welcomed = !slices.ContainsFunc(d.instances, func(i *devInstance) bool { return i.ready != nil })
	if d.welcomed {
		d.welcome()
	}
}

// command executes a line of standard input.
func (d *dev) command(words []string) {
	if len(words) == 0 {
		return
	}
	n := -1
	if len(words) == 2 {
		n = slices.IndexFunc(d.instances, func(i *devInstance) bool { return i.name == words[1] })
	}
	switch {
	case n >= 0 && words[0] == "kill":
		d.kill(d.instances[n])
	case n >= 0 && words[0] == "start":
		d.startAgain(d.instances[n])
	default:
		d.say("Type 'kill %s' or 'start %[1]s', with the name of an instance.", d.instances[0].name)
	}
}

func (d *dev) kill(i *devInstance) {
	if i.server == nil {
		d.say("%s does not run.", i.name)
		return
	}
	i.log.ended.Store(true)
	testdoor.Inside(i.server).Kill()
	i.server, i.ready, i.done = nil, nil, nil
	d.say("%s is killed. Type 'start %[1]s' to start it again.", i.name)
}

func (d *dev) startAgain(i *devInstance) {
	if i.server != nil {
		d.say("%s runs already.", i.name)
	} else if err := d.start(i); err != nil {
		d.log.Error("the instance did not start", "instance", i.name, "error", err)
	}
}

// shutdown stops all instances in order, or immediately after another signal.
func (d *dev) shutdown(again <-chan os.Signal) error {
	var all sync.WaitGroup
	for _, i := range d.instances {
		if i.server == nil {
			continue
		}
		all.Go(func() { _ = i.server.Shutdown(context.Background()) }) // its log says how it has stopped
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		all.Wait()
	}()
	select {
	case <-stopped:
		return nil
	case sig := <-again:
		return fmt.Errorf("stopped immediately: %v", sig)
	}
}

// say prints a line for the user.
func (d *dev) say(format string, args ...any) { fmt.Fprintf(d.stdout, format+"\n", args...) }
