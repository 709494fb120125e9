//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The test binary is also the child processes.
func TestMain(m *testing.M) {
	runIfChild()
	os.Exit(m.Run())
}

// The bare pipeline runs all its benchmarks with real processes and leaves nothing
// behind.
func TestBarePipeline(t *testing.T) { runsAll(t, pipeline, 2, "B1", "B2", "B3") }

// runsAll runs the given benchmarks of a contender, each several times.
func runsAll(t *testing.T, contender string, runs int, ids ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &session{self: self, dir: t.TempDir()}
	for _, w := range benchmarks(options{Only: ids, Peers: []string{contender}, Messages: 10_000, Size: 256}) {
		r, err := s.measureBenchmark(t.Context(), w, runs)
		if err != nil {
			t.Errorf("%s: %v", w.id, err)
		}
		for _, row := range w.rows {
			if v, ok := r.value(row, contender); !ok || v <= 0 {
				t.Errorf("%s %s = %v, %v", w.id, row.measure, v, ok)
			}
		}
	}
	checkNothingLeft(t, s.dir)
}

// checkNothingLeft reports files in a directory, and processes that use it.
func checkNothingLeft(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(processes) == 0 {
		t.Fatalf("%d processes, %v", len(processes), err)
	}
	for _, p := range processes {
		cwd, _ := os.Readlink(filepath.Join(p, "cwd")) // an error if the process ends now
		args, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		if strings.HasPrefix(cwd, dir) || bytes.Contains(args, []byte(dir)) {
			t.Errorf("process %s is left: %s", filepath.Base(p), bytes.ReplaceAll(args, []byte{0}, []byte{' '}))
		}
	}
}

// The error about a child that fails contains its output.
func TestChildOutputInError(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &session{self: self}
	_, err = s.load(t.Context(), "bare-load", bareJob{Address: "nowhere"})
	const want = "bare-load: exit status 1; the end of its output: peerbench: dial tcp: address nowhere: missing port in address"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
