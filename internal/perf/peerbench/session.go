//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
)

// A session is one session of measuring.
type session struct {
	self     string // this command
	holdfast string // the command that measures holdfast
	dir      string // holds everything, and is removed at the end
}

// measure is the session: every work, run by run, every contender in turn.
func measure(ctx context.Context, o options) (err error) {
	b, err := newSession(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()

	before := conditions(b.dir, o)
	var results []result
	var failed []error
	for _, w := range benchmarks(o) {
		r, err := b.measureBenchmark(ctx, w, o.Runs)
		results, failed = append(results, r), append(failed, err)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	printTable(os.Stdout, results)
	fmt.Println()
	fmt.Println(before)
	fmt.Println()
	fmt.Println(skippedLine(results))
	return errors.Join(failed...)
}

func newSession(ctx context.Context, o options) (*session, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	b := &session{self: self, holdfast: o.Holdfast}
	if b.dir, err = os.MkdirTemp(o.Dir, "peerbench-"); err != nil {
		return nil, err
	}
	if b.dir, err = filepath.Abs(b.dir); err == nil {
		err = checkOnDisk(b.dir)
	}
	if err == nil && b.holdfast == "" {
		b.holdfast, err = buildHoldfast(ctx, b.dir)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(b.dir))
	}
	return b, nil
}

// checkout is the directory of holdfast's module, seen from this one.
const checkout = "../../.."

// buildHoldfast builds the command that measures holdfast from this checkout.
func buildHoldfast(ctx context.Context, dir string) (command string, err error) {
	command = filepath.Join(dir, "holdfast")
	build := pair.GoCommand(ctx, dir, "build", "-o", command, "./server/cmd/holdfast")
	build.Dir = checkout
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build holdfast (run this in its own directory): %w: %s", err, out)
	}
	return command, nil
}

// measureBenchmark runs all contenders of a work in turns. One that fails is said at once
// and left out of what follows, as is one that is not installed; the others go on.
func (b *session) measureBenchmark(ctx context.Context, w benchmark, runs int) (result, error) {
	r := result{benchmark: w, runs: make(map[string][]sample), notInstalled: w.notInstalled()}
	failed := make(map[string]error)
	for run := range runs {
		for _, c := range w.contenders {
			if failed[c.name] != nil || slices.Contains(r.notInstalled, c.name) || ctx.Err() != nil {
				continue
			}
			s, err := b.run(ctx, c, w.job)
			if err != nil {
				failed[c.name] = fmt.Errorf("%s, %s: %w", w.id, c.name, err)
				logf("%v", failed[c.name])
				continue
			}
			r.runs[c.name] = append(r.runs[c.name], s)
			logf("%s %s, run %d of %d, %s: %s", w.id, w.title, run+1, runs, c.name, s.describe(w.rows))
		}
	}
	var all []error
	for _, c := range w.contenders {
		all = append(all, failed[c.name])
	}
	return r, errors.Join(all...)
}

// run lets one contender do one job, in a directory and within a time of its own.
func (b *session) run(ctx context.Context, c contender, j job) (s sample, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, j.limit(), fmt.Errorf("not done within %v", j.limit()))
	defer cancel()
	dir, err := os.MkdirTemp(b.dir, "run-")
	if err != nil {
		return nil, err
	}
	unix.Sync() // nobody pays for the writes of those before
	s, err = c.run(ctx, b, dir, j)
	return s, errors.Join(err, os.RemoveAll(dir))
}

// limit is what a run takes only if it hangs.
func (j job) limit() time.Duration {
	return 3*time.Minute + time.Duration(j.Messages)*200*time.Microsecond
}

// logf reports progress; standard output is for the table.
func logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
