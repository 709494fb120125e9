//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// options are the command's flags.
type options struct {
	Only     []string // ids of benchmarks; empty: all
	Peers    []string // beginnings of contenders' names, in upper or lower case; empty: all
	Runs     int
	Messages int
	Size     int // bytes of a body
	Short    bool
	Dir      string // holds the data
	Holdfast string // the command to measure; empty: built from this checkout
}

func main() {
	runIfChild()
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "peerbench:", err)
		os.Exit(2)
	}
	// SIGPIPE: a closed output ends the session as an interrupt does.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	exit(measure(ctx, o))
}

// children are the roles of this command as a child process, by name.
var children = map[string]func(spec []byte) error{
	"nats-server": serveNATS,
	"nats-load":   loadNATS,
	"bare-node":   serveBare,
	"bare-load":   loadBare,
	"redis-load":  loadRedis,
	"rabbit-load": loadRabbit,
}

// runIfChild runs a child's role and exits. It returns if this process is not a child.
func runIfChild() {
	if len(os.Args) != 3 {
		return
	}
	if child, ok := children[os.Args[1]]; ok {
		go exitWithParent()
		exit(child([]byte(os.Args[2])))
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "peerbench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func parse(args []string) (options, error) {
	var o options
	var only, peers string
	flags := flag.NewFlagSet("peerbench", flag.ExitOnError)
	flags.StringVar(&only, "only", "", "comma-separated `benchmarks`, such as B1,B4 (default all)")
	flags.StringVar(&peers, "peers", "", "comma-separated beginnings of the `names` to measure, such as holdfast,bare,redis (default all)")
	flags.IntVar(&o.Runs, "runs", 5, "runs of each benchmark and contender, in turns")
	flags.IntVar(&o.Messages, "messages", 1_000_000, "messages of a run of B1 and B3; the other benchmarks use fractions of it")
	flags.IntVar(&o.Size, "size", 256, "size of a message in bytes")
	flags.BoolVar(&o.Short, "short", false, "one run of few messages against few peers, to check that all works")
	flags.StringVar(&o.Dir, "dir", os.TempDir(), "`directory` on the file system to measure")
	flags.StringVar(&o.Holdfast, "holdfast", "", "holdfast `command` to measure (default: built from this checkout)")
	flags.Parse(args)
	if o.Short {
		o.Runs, o.Messages = 1, 20_000
	}
	o.Only, o.Peers = splitList(only), splitList(peers)
	if flags.NArg() > 0 || o.Runs < 1 || o.Messages < 1000 || o.Size < minBody {
		return o, fmt.Errorf("peerbench takes no arguments, and needs at least 1 run, 1000 messages and %d bytes", minBody)
	}
	for _, id := range o.Only {
		if !o.hasBenchmark(id) {
			return o, fmt.Errorf("there is no benchmark %q", id)
		}
	}
	return o, nil
}

func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// hasBenchmark reports whether there is a benchmark with the id.
func (o options) hasBenchmark(id string) bool {
	for _, w := range benchmarks(options{Messages: o.Messages}) {
		if w.id == id {
			return true
		}
	}
	return false
}
