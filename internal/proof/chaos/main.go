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
	Duration   time.Duration
	Kills      int // faults of the group to make, instead of a duration
	Partitions int // likewise
	Seed       uint64
	Faults     []string // names of kinds; empty: all
	Rate       int      // messages a second of each publisher
	Skips      []string // kinds that may be skipped
	Limited    bool     // only those may
	Keep       bool
	Binary     string // holdfastd; empty: built from this checkout
	Judge      string // directory of an earlier run
}

// counted reports whether the run ends after a number of faults and not after a time.
func (o options) counted() bool { return o.Kills+o.Partitions > 0 }

// limit returns a time that no run takes unless it hangs.
func (o options) limit() time.Duration {
	if o.counted() {
		return time.Duration(o.Kills+o.Partitions)*20*time.Second + 10*time.Minute
	}
	return 3*o.Duration + 10*time.Minute
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
		f, err := judge(o.Judge)
		if err != nil {
			exit(err)
		}
		if !f.print(os.Stdout) {
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code, err := runInNamespaces(ctx, o)
	if err != nil && ctx.Err() != nil {
		fmt.Fprintln(os.Stderr, "chaos: interrupted")
		os.Exit(exitInterrupted)
	}
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
	"publisher":  runPublishers,
	"subscriber": runSubscriber,
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
	flags.IntVar(&o.Kills, "kills", 0, "make this `number` of kill faults in quick succession, instead of faults for a duration")
	flags.IntVar(&o.Partitions, "partitions", 0, "make this `number` of partitions, likewise")
	flags.Uint64Var(&o.Seed, "seed", rand.Uint64()>>32, "seed of the faults; random if not given")
	flags.StringVar(&faults, "faults", "", "kinds of fault, separated by commas; all if not given: "+strings.Join(kindNames(), ","))
	flags.IntVar(&o.Rate, "rate", 50, "messages a second of each of the eight publishers")
	flags.StringVar(&skips, "skips", "", "`file` of the kinds of fault that may be skipped, each in a line \"chaos KIND REASON\"; without it, any may be skipped")
	flags.BoolVar(&o.Keep, "keep", false, "keep the directory with stores, journals, history and logs")
	flags.StringVar(&o.Binary, "binary", "", "`file` of the holdfastd to test; built from this checkout if not given")
	flags.StringVar(&o.Judge, "judge", "", "only judge the kept `directory` of an earlier run again")
	flags.Parse(args)
	if flags.NArg() > 0 || o.Rate < 1 || o.Duration <= 0 || o.Kills < 0 || o.Partitions < 0 {
		return o, fmt.Errorf("-duration and -rate must be above 0, -kills and -partitions at least 0, and there are no arguments")
	}
	if faults != "" {
		o.Faults = strings.Split(faults, ",")
	}
	for _, name := range o.Faults {
		if kindOf(name) == nil {
			return o, fmt.Errorf("there is no kind of fault %q: choose from %s", name, strings.Join(kindNames(), ", "))
		}
	}
	if skips != "" {
		text, err := os.ReadFile(skips)
		if err != nil {
			return o, err
		}
		if o.Skips, err = readSkips(string(text)); err != nil {
			return o, fmt.Errorf("%s: %w", skips, err)
		}
		o.Limited = true
	}
	return o, nil
}

// readSkips reads a file of kinds of fault that may be skipped. A line has the program,
// the kind and the reason. "#" begins a comment.
func readSkips(text string) (kinds []string, err error) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "chaos" {
			continue
		}
		if len(words) < 3 || kindOf(words[1]) == nil {
			return nil, fmt.Errorf("%q lacks a kind of fault or a reason", strings.TrimSpace(line))
		}
		kinds = append(kinds, words[1])
	}
	return kinds, nil
}
