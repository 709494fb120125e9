//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Redis runs all its benchmarks with real servers and leaves nothing behind.
func TestRedis(t *testing.T) {
	if redisMissing() {
		t.Skip("redis-server is not installed: apt-get install redis-server")
	}
	runsAll(t, redisStreams, 1, "B1", "B2", "B3", "B4")
	interrupts(t, redisStreams, "0/*", "1/*")
}

// RabbitMQ runs all its benchmarks with real nodes and leaves nothing behind.
func TestRabbitMQ(t *testing.T) {
	if rabbitMissing() {
		t.Skip("rabbitmq-server is not installed: apt-get install rabbitmq-server")
	}
	runsAll(t, rabbitQuorum, 1, "B1", "B2", "B3")
	interrupts(t, rabbitQuorum, "1", "1/*/quorum/*")
}

// interrupts interrupts a contender once its directory has a certain file, and checks
// that it leaves nothing behind.
func interrupts(t *testing.T, contender string, files ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		s := &session{self: self, dir: t.TempDir()}
		ctx, cancel := context.WithCancel(t.Context())
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			for ctx.Err() == nil {
				if made, _ := filepath.Glob(filepath.Join(s.dir, "run-*", file)); len(made) > 0 {
					cancel()
				}
				pause(ctx, time.Millisecond)
			}
		}()
		w := benchmarks(options{Only: []string{"B1"}, Peers: []string{contender}, Messages: 100_000_000, Size: 256})[0]
		if _, err := s.run(ctx, w.contenders[0], w.job); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, interrupted at %s: %v", contender, file, err)
		}
		cancel()
		<-watched
		checkNothingLeft(t, s.dir)
	}
}

// The error about a server that cannot start contains its output.
func TestServerOutputInError(t *testing.T) {
	p := command(t.Context(), "sh", "-c", "echo no such option; exit 1")
	if err := p.serve(filepath.Join(t.TempDir(), "new")); err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	const want = "-c: ended before it listened; the end of its output: no such option"
	if err := p.awaitListening(t.Context(), loopback+":1"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A contender that is not installed is a cell and a count; the others are measured.
func TestNotInstalled(t *testing.T) {
	one := func(context.Context, *session, string, job) (sample, error) { return sample{published: 1}, nil }
	never := func(context.Context, *session, string, job) (sample, error) { return nil, errors.New("it was run") }
	missing := func() bool { return true }
	w := benchmark{id: "B1", title: "publish", rows: medians(published), contenders: []contender{
		{name: holdfast, run: one, isMissing: func() bool { return false }},
		{name: "peer", run: never, isMissing: missing},
	}}
	s := &session{dir: t.TempDir()}
	r, err := s.measureBenchmark(t.Context(), w, 2)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	printTable(&out, []result{r, r})
	const row = "| B1 publish | msg/s | 1 | not installed |\n"
	const want = "| benchmark | measured | holdfast | peer |\n| --- | --- | --- | --- |\n" + row + row
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	if got, want := skippedLine([]result{r, r}), "1 skipped, not installed: peer."; got != want {
		t.Errorf("skips = %q, want %q", got, want)
	}
	if got, want := skippedLine([]result{{benchmark: w}}), "0 skipped."; got != want {
		t.Errorf("skips = %q, want %q", got, want)
	}
}

// A command in one of the given directories is found before one on the search path.
func TestInstalled(t *testing.T) {
	dir := t.TempDir()
	own := filepath.Join(dir, "sh")
	if _, err := installed("sh", dir); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(own, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := installed("sh", dir); err != nil || got != own {
		t.Errorf("installed = %q, %v; want %q", got, err, own)
	}
	if got, err := installed("no-such-command", dir); err == nil {
		t.Errorf("installed = %q", got)
	}
}
