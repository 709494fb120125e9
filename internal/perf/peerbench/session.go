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
	dir      string // holds all files; removed at the end
}

// measure runs the session: each benchmark, run by run, each contender in turn.
func measure(ctx context.Context, o options) (err error) {
	s, err := newSession(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()

	before := conditions(s.dir, o)
	var results []result
	var failed []error
	for _, w := range benchmarks(o) {
		r, err := s.measureBenchmark(ctx, w, o.Runs)
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
	s := &session{self: self, holdfast: o.Holdfast}
	if s.dir, err = os.MkdirTemp(o.Dir, "peerbench-"); err != nil {
		return nil, err
	}
	if s.dir, err = filepath.Abs(s.dir); err == nil {
		err = checkOnDisk(s.dir)
	}
	if err == nil && s.holdfast == "" {
		s.holdfast, err = buildHoldfast(ctx, s.dir)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

// checkout is the directory of holdfast's module, relative to this one.
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

// measureBenchmark runs all contenders of a benchmark in turns. A contender that fails
// is reported at once and left out of the remaining runs, as is one that is not
// installed.
func (s *session) measureBenchmark(ctx context.Context, bm benchmark, runs int) (result, error) {
	r := result{benchmark: bm, runs: make(map[string][]sample), notInstalled: bm.notInstalled()}
	failed := make(map[string]error)
	for run := range runs {
		for _, c := range bm.contenders {
			if failed[c.name] != nil || slices.Contains(r.notInstalled, c.name) || ctx.Err() != nil {
				continue
			}
			values, err := s.run(ctx, c, bm.job)
			if err != nil {
				failed[c.name] = fmt.Errorf("%s, %s: %w", bm.id, c.name, err)
				logf("%v", failed[c.name])
				continue
			}
			r.runs[c.name] = append(r.runs[c.name], values)
			logf("%s %s, run %d of %d, %s: %s", bm.id, bm.title, run+1, runs, c.name, values.describe(bm.rows))
		}
	}
	var all []error
	for _, c := range bm.contenders {
		all = append(all, failed[c.name])
	}
	return r, errors.Join(all...)
}

// run runs one job of a contender, in its own directory and within a time limit.
func (s *session) run(ctx context.Context, c contender, j job) (values sample, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, j.limit(), fmt.Errorf("not done within %v", j.limit()))
	defer cancel()
	dir, err := os.MkdirTemp(s.dir, "run-")
	if err != nil {
		return nil, err
	}
	unix.Sync() // so that a run does not pay for the writes of earlier ones
	values, err = c.run(ctx, s, dir, j)
	return values, errors.Join(err, os.RemoveAll(dir))
}

// limit returns the time limit of a run. Only a run that hangs exceeds it.
func (j job) limit() time.Duration {
	return 3*time.Minute + time.Duration(j.Messages)*200*time.Microsecond
}

// logf reports progress; standard output is for the table.
func logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
