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

// Redis does all its works, with real servers, and leaves nothing.
func TestRedis(t *testing.T) {
	if redisMissing() {
		t.Skip("redis-server is not installed: apt-get install redis-server")
	}
	doesAll(t, redisStreams, 1, "B1", "B2", "B3", "B4")
	interrupted(t, redisStreams, "0/*", "1/*")
}

// RabbitMQ does all its works, with real nodes, and leaves nothing.
func TestRabbitMQ(t *testing.T) {
	if rabbitMissing() {
		t.Skip("rabbitmq-server is not installed: apt-get install rabbitmq-server")
	}
	doesAll(t, rabbitQuorum, 1, "B1", "B2", "B3")
	interrupted(t, rabbitQuorum, "1", "1/*/quorum/*")
}

// interrupted interrupts a contender when its directory has a certain file: it
// leaves nothing.
func interrupted(t *testing.T, contender string, files ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b := &session{self: self, dir: t.TempDir()}
		ctx, cancel := context.WithCancel(t.Context())
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			for ctx.Err() == nil {
				if made, _ := filepath.Glob(filepath.Join(b.dir, "run-*", file)); len(made) > 0 {
					cancel()
				}
				pause(ctx, time.Millisecond)
			}
		}()
		w := benchmarks(options{Only: []string{"B1"}, Peers: []string{contender}, Messages: 100_000_000, Size: 256})[0]
		if _, err := b.run(ctx, w.contenders[0], w.job); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, interrupted at %s: %v", contender, file, err)
		}
		cancel()
		<-watched
		leavesNothing(t, b.dir)
	}
}

// A server that can't start is explained by its output.
func TestServersLastWords(t *testing.T) {
	p := command(t.Context(), "sh", "-c", "echo no such option; exit 1")
	if err := p.serve(filepath.Join(t.TempDir(), "new")); err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	const want = "-c: ended before it listened; its last words: no such option"
	if err := p.awaitListening(t.Context(), loopback+":1"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// What is not installed is a cell and a count; the others are measured.
func TestNotInstalled(t *testing.T) {
	one := func(context.Context, *session, string, job) (sample, error) { return sample{published: 1}, nil }
	never := func(context.Context, *session, string, job) (sample, error) { return nil, errors.New("it was run") }
	missing := func() bool { return true }
	w := benchmark{id: "B1", title: "publish", rows: medians(published), contenders: []contender{
		{name: holdfast, run: one, isMissing: func() bool { return false }},
		{name: "peer", run: never, isMissing: missing},
	}}
	b := &session{dir: t.TempDir()}
	r, err := b.measureBenchmark(t.Context(), w, 2)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	printTable(&out, []result{r, r})
	const row = "| B1 publish | msg/s | 1 | not installed |\n"
	const want = "| work | measured | holdfast | peer |\n| --- | --- | --- | --- |\n" + row + row
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

// A command in one of the further directories comes before that on the path.
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
