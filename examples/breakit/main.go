// Command breakit lets you break a pair: it starts two real servers, live
// traffic from publishers with file stores to subscribers with bookmark stores,
// and shows a screen with counters. Keys kill and stop the servers, cut the
// link between them and wipe a disk. At the end it judges, from both journals
// and from what the subscribers were handed, whether anything was lost,
// duplicated or out of order.
//
// With -auto it needs no terminal: it presses random keys, drawn from -seed, for
// -duration. It exits with 0 only if nothing is wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
)

// options are the command's flags.
type options struct {
	auto     bool
	seed     uint64
	duration time.Duration
	rate     int
	keep     bool
}

// errViolation says that the verdict is not well; it has been told.
var errViolation = errors.New("something is wrong")

func main() {
	var o options
	flag.BoolVar(&o.auto, "auto", false, "press random keys, without a terminal")
	flag.Uint64Var(&o.seed, "seed", rand.Uint64()>>32, "draws the keys of -auto; random if not given")
	flag.DurationVar(&o.duration, "duration", 20*time.Second, "how long -auto presses keys")
	flag.IntVar(&o.rate, "rate", 50, "messages a second that each publisher publishes")
	flag.BoolVar(&o.keep, "keep", false, "keep the directory with stores, journals, logs and histories")
	flag.Parse()
	if flag.NArg() > 0 || o.rate < 1 || o.rate > 10000 || o.duration <= 0 {
		fmt.Fprintln(os.Stderr, "breakit: -rate must be 1 to 10000, -duration above 0, and there are no arguments")
		os.Exit(2)
	}
	if !o.auto && !isTerminal() {
		fmt.Fprintln(os.Stderr, "breakit: this is no terminal to show a screen on: use -auto, which presses the keys by itself")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := execute(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "breakit:", err)
		os.Exit(1)
	}
}

// execute makes a directory, builds the server and runs the world in it.
func execute(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "holdfast-breakit-")
	if err != nil {
		return err
	}
	defer func() {
		if o.keep || err != nil && ctx.Err() == nil { // who leaves at once wants nothing kept
			fmt.Println("stores, journals, logs and histories are in", dir)
			return
		}
		os.RemoveAll(dir)
	}()
	fmt.Println("building holdfastd")
	binary, err := pair.Build(dir)
	if err != nil {
		return err
	}
	if o.auto {
		return playAlone(ctx, o, dir, binary)
	}
	return play(ctx, o, dir, binary)
}

// conclude tells the verdict and saves what it is about.
func conclude(r *report, dir string) error {
	if err := r.save(dir); err != nil {
		return err
	}
	r.write(os.Stdout)
	if !r.well() {
		return errViolation
	}
	return nil
}
