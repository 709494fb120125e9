// Package rig has the common parts of the programs that break a pair of real servers on
// purpose.
package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitInterrupted = 130
)

// A Rig is a program that breaks a pair.
type Rig struct {
	Name   string
	Keep   bool   // the directory, also of a run that was well
	Binary string // of holdfastd; empty: built from this checkout
}

// Run makes a directory, builds holdfastd into it and has do break a pair in
// there. It returns the exit code, which is 0 only if do says that all is well.
// The first signal ends the context of do, which ends all that it has started.
// The second has its usual effect.
func (r Rig) Run(do func(ctx context.Context, dir, binary string) (passed bool, err error)) (code int) {
	ctx, stop := signal.NotifyContext(context.Background(), endingSignals()...)
	defer stop()
	context.AfterFunc(ctx, stop)
	dir, err := os.MkdirTemp("", "holdfast-"+r.Name+"-")
	if err != nil {
		return r.fail(err)
	}
	code = exitFailed // of a panic
	defer func() {
		if r.Keep || code == exitFailed {
			fmt.Println("stores, journals and logs are in", dir)
			return
		}
		os.RemoveAll(dir)
	}()
	passed, err := r.buildAndRun(ctx, dir, do)
	switch {
	case ctx.Err() != nil && (err == nil && passed || errors.Is(err, context.Cause(ctx)) || errors.Is(err, context.Canceled)):
		fmt.Fprintf(os.Stderr, "%s: interrupted\n", r.Name)
		return exitInterrupted
	case err != nil:
		return r.fail(err)
	case !passed:
		fmt.Println("FAILED")
		return exitFailed
	}
	return exitOK
}

// endingSignals returns the signals that end a run. One that was ignored when the program
// started, as nohup does, stays ignored.
func endingSignals() []os.Signal {
	signals := []os.Signal{syscall.SIGTERM}
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signals = append(signals, s)
		}
	}
	return signals
}

func (r Rig) buildAndRun(ctx context.Context, dir string, do func(ctx context.Context, dir, binary string) (bool, error)) (bool, error) {
	if r.Binary != "" {
		return do(ctx, dir, r.Binary)
	}
	fmt.Println("building holdfastd")
	binary, err := pair.Build(ctx, dir)
	if err != nil {
		return false, err
	}
	return do(ctx, dir, binary)
}

func (r Rig) fail(err error) int {
	fmt.Fprintf(os.Stderr, "%s: %v\n", r.Name, err)
	return exitFailed
}
