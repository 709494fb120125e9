//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// options are the command's flags.
type options struct {
	Duration time.Duration
	Seed     uint64
	Faults   []string // names of kinds; empty: all
	Rate     int      // messages a second of each publisher
	Skips    []string // kinds that may be missing here
	Limited  bool     // only those may
	Keep     bool
	Binary   string // holdfastd; empty: built from this checkout
	Judge    string // directory of an earlier run
}

func main() {
	if len(os.Args) == 3 {
		if child, ok := children[os.Args[1]]; ok {
			exit(child(os.Args[2]))
		}
	}
	o, err := parse(os.Args[1:])
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(2)
	case o.Judge != "":
		rep, err := judge(o.Judge)
		if err != nil {
			exit(err)
		}
		if !rep.print(os.Stdout) {
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code, err := cage(ctx, o)
	stop()
	if err != nil {
		exit(err)
	}
	os.Exit(code)
}

// children are the processes that this command is, apart from itself: the one
// in the namespaces, which starts the others.
var children = map[string]func(spec string) error{
	"inside":     inside,
	"publisher":  publishForEver,
	"subscriber": subscribeForEver,
}

func exit(err error) {
	if err == nil {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "chaos:", err)
	os.Exit(1)
}

func parse(args []string) (options, error) {
	var o options
	var faults, skips string
	flags := flag.NewFlagSet("chaos", flag.ExitOnError)
	flags.DurationVar(&o.Duration, "duration", 2*time.Minute, "how long faults are made")
	flags.Uint64Var(&o.Seed, "seed", rand.Uint64()>>32, "draws the faults; random if not given")
	flags.StringVar(&faults, "faults", "", "kinds of fault, with commas between; all if not given: "+strings.Join(kindNames(), ","))
	flags.IntVar(&o.Rate, "rate", 50, "messages a second of each of the eight publishers")
	flags.StringVar(&skips, "skips", "", "`file` of the kinds of fault that may be missing here, each in a line \"chaos KIND\"; without it, any may")
	flags.BoolVar(&o.Keep, "keep", false, "keep the directory with stores, journals, history and logs")
	flags.StringVar(&o.Binary, "binary", "", "`file` of the holdfastd to test; built from this checkout if not given")
	flags.StringVar(&o.Judge, "judge", "", "judge the kept `directory` of an earlier run again, and do nothing else")
	flags.Parse(args)
	if flags.NArg() > 0 || o.Rate < 1 || o.Duration <= 0 {
		return o, fmt.Errorf("duration and rate must be above 0, and there are no arguments")
	}
	if faults != "" {
		o.Faults = strings.Split(faults, ",")
	}
	for _, name := range o.Faults {
		if kindOf(name) == nil {
			return o, fmt.Errorf("no kind of fault is called %q; there are %s", name, strings.Join(kindNames(), ", "))
		}
	}
	if skips != "" {
		text, err := os.ReadFile(skips)
		if err != nil {
			return o, err
		}
		o.Skips, o.Limited = readSkips(string(text)), true
	}
	return o, nil
}

// readSkips returns the kinds of fault in a file that lists what may be
// skipped: lines of what skips and what is skipped, then anything.
func readSkips(text string) []string {
	var kinds []string
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "chaos" {
			kinds = append(kinds, words[1])
		}
	}
	return kinds
}
