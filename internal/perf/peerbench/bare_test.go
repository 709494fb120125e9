//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The test's own binary is the children, too.
func TestMain(m *testing.M) {
	runIfChild()
	os.Exit(m.Run())
}

// The bare pipeline does all its works, with real processes, and leaves nothing.
func TestBarePipeline(t *testing.T) { doesAll(t, pipeline, 2, "B1", "B2", "B3") }

// doesAll runs a contender's works, each so many times.
func doesAll(t *testing.T, contender string, runs int, ids ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &session{self: self, dir: t.TempDir()}
	for _, w := range benchmarks(options{Only: ids, Peers: []string{contender}, Messages: 10_000, Size: 256}) {
		r, err := b.measureBenchmark(t.Context(), w, runs)
		if err != nil {
			t.Errorf("%s: %v", w.id, err)
		}
		for _, row := range w.rows {
			if v, ok := r.value(row, contender); !ok || v <= 0 {
				t.Errorf("%s %s = %v, %v", w.id, row.measure, v, ok)
			}
		}
	}
	leavesNothing(t, b.dir)
}

// leavesNothing reports files in a directory, and processes that were told of it.
func leavesNothing(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(processes) == 0 {
		t.Fatalf("%d processes, %v", len(processes), err)
	}
	for _, p := range processes {
		cwd, _ := os.Readlink(filepath.Join(p, "cwd")) // an error if it ends now
		said, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		if strings.HasPrefix(cwd, dir) || bytes.Contains(said, []byte(dir)) {
			t.Errorf("process %s is left: %s", filepath.Base(p), bytes.ReplaceAll(said, []byte{0}, []byte{' '}))
		}
	}
}

// A child that fails is explained by its last words.
func TestAChildsLastWords(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &session{self: self}
	_, err = b.load(t.Context(), "bare-load", bareJob{Address: "nowhere"})
	const want = "bare-load: exit status 1; its last words: peerbench: dial tcp: address nowhere: missing port in address"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
