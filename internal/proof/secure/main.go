// Command secure switches access control on in a pair that runs, and then rotates everything that
// can be rotated, as server/SECURITY.md tells an operator to do it. The instances are real processes
// with real TLS and real files. Publishers and subscribers run all the time, and at no time are both
// instances stopped on purpose.
//
//	switch on  a link secret, TLS on the links, TLS for clients and operators, users who may do
//	           everything, users who may do what they need
//	rotate     certificates of servers with another authority, of clients, of links; the link secret;
//	           a password; a user that is removed and comes back; a permission; the admin token
//
// It prints each step with the longest time that a publisher was without an ack. All messages must be
// in both journals, once and in order, and reach the subscribers so, except those that were rejected
// as not entitled and reported to their publisher.
//
// An application that was disconnected within 5 s before a step may wait up to 5 s before it tries
// again. With -pause 6s the times without acks are those of an operator who takes that time.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/rig"
)

func main() { os.Exit(run()) }

// options are the flags.
type options struct {
	rate  int
	pause time.Duration
	limit time.Duration
}

func run() int {
	var o options
	keep := flag.Bool("keep", false, "keep the directory with stores, journals, logs and files")
	binary := flag.String("binary", "", "a holdfastd; built from this checkout if not given")
	flag.IntVar(&o.rate, "rate", 100, "messages per second of each publisher")
	flag.DurationVar(&o.pause, "pause", 500*time.Millisecond, "time between two steps")
	flag.DurationVar(&o.limit, "limit", 15*time.Second, "longest time without an ack that passes")
	flag.Parse()
	if flag.NArg() > 0 || o.rate < 1 || o.pause < 0 || o.limit <= 0 {
		fmt.Fprintln(os.Stderr, "secure: -rate must be at least 1, -pause not negative, -limit positive, and there are no arguments")
		return 2
	}
	return rig.Rig{Name: "secure", Keep: *keep, Binary: *binary}.Run(func(ctx context.Context, dir, binary string) (bool, error) {
		return drill(ctx, o, dir, binary)
	})
}

// runLimit bounds a drill, so that none hangs for ever.
const runLimit = 8 * time.Minute

// drill executes both parts and judges them.
func drill(ctx context.Context, o options, dir, binary string) (passed bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, runLimit, fmt.Errorf("not done within %v", runLimit))
	defer cancel()
	w, err := newWorld(o, dir, binary)
	if err != nil {
		return false, err
	}
	defer w.close()
	defer cancel() // before close, which waits for goroutines with this context
	if err := w.start(ctx); err != nil {
		return false, err
	}
	if err := w.switchOn(ctx); err != nil {
		return false, err
	}
	if err := w.rotate(ctx); err != nil {
		return false, err
	}
	v, err := w.finish(ctx)
	if err != nil {
		return false, err
	}
	return v.print(os.Stdout), nil
}
