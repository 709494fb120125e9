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
	Only     []string // works, by id; empty: all
	Peers    []string // beginnings of contenders' names, in any case; empty: all
	Runs     int
	Messages int
	Size     int // bytes of a body
	Short    bool
	Dir      string // where the data is
	Holdfast string // the command to measure; empty: built from this checkout
}

func main() {
	runIfChild()
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "peerbench:", err)
		os.Exit(2)
	}
	// Output that nobody reads any more ends it as an interrupt does.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	exit(measure(ctx, o))
}

// children are the processes that this command is, apart from itself.
var children = map[string]func(spec []byte) error{
	"nats-server": serveNATS,
	"nats-load":   loadNATS,
	"bare-node":   serveBare,
	"bare-load":   loadBare,
	"redis-load":  loadRedis,
	"rabbit-load": loadRabbit,
}

// runIfChild does not return if this is a child.
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
	flags.StringVar(&only, "only", "", "`works` to measure, with commas between, such as B1,B4; all if not given")
	flags.StringVar(&peers, "peers", "", "measure only those whose `names` begin so, with commas between, such as holdfast,bare,redis; all if not given")
	flags.IntVar(&o.Runs, "runs", 5, "runs of each, in turns")
	flags.IntVar(&o.Messages, "messages", 1_000_000, "messages of a run of B1 and B3; the others' follow from it")
	flags.IntVar(&o.Size, "size", 256, "bytes of a message")
	flags.BoolVar(&o.Short, "short", false, "one run of few messages against few peers: does it work?")
	flags.StringVar(&o.Dir, "dir", os.TempDir(), "`directory` on the file system to measure")
	flags.StringVar(&o.Holdfast, "holdfast", "", "the holdfast `command` to measure; built from this checkout if not given")
	flags.Parse(args)
	if o.Short {
		o.Runs, o.Messages = 1, 20_000
	}
	o.Only, o.Peers = splitList(only), splitList(peers)
	if flags.NArg() > 0 || o.Runs < 1 || o.Messages < 1000 || o.Size < minBody {
		return o, fmt.Errorf("there are no arguments, at least 1 run, 1000 messages and %d bytes", minBody)
	}
	for _, id := range o.Only {
		if !o.hasBenchmark(id) {
			return o, fmt.Errorf("no work is called %q", id)
		}
	}
	return o, nil
}

func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// hasBenchmark reports whether there is a work with the id.
func (o options) hasBenchmark(id string) bool {
	for _, w := range benchmarks(options{Messages: o.Messages}) {
		if w.id == id {
			return true
		}
	}
	return false
}
