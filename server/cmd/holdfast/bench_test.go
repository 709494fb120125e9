package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/perf/bench"
)

// The program of the tests is also the command: tests start it as processes, for
// instances and for commands to kill, and under the name holdfast.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && slices.Contains([]string{"bench", "publish", "subscribe"}, os.Args[1]) || filepath.Base(os.Args[0]) == "holdfast" {
		main()
	}
	os.Exit(m.Run())
}

// measure runs a benchmark with processes and returns its result.
func measure(t *testing.T, args ...string) (r bench.Result) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	var out, wrong bytes.Buffer
	if code := run(append([]string{"bench"}, append(args, "--json", "--dir", dir)...), &out, &wrong); code != exitOK {
		t.Fatalf("exit code %d: %s", code, wrong.String())
	}
	decoder := json.NewDecoder(&out)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil || decoder.More() {
		t.Fatalf("standard output is %q: %v", out.String(), err)
	}
	if !r.StartedPair || r.Copies != 2 || r.Lost+r.Duplicated != 0 {
		t.Errorf("result is %+v", r)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return r
}

func TestBenchPublish(t *testing.T) {
	if r := measure(t, "publish", "--messages", "1000", "--size", "100"); r.Messages != 1000 || r.Body != 100 {
		t.Errorf("result is %+v", r)
	}
}

func TestBenchReplay(t *testing.T) {
	if r := measure(t, "replay", "--messages", "1000", "--subscribers", "2"); r.Bench != bench.Replay || r.Subscribers != 2 {
		t.Errorf("result is %+v", r)
	}
}

func TestBenchFailover(t *testing.T) {
	r := measure(t, "failover", "--duration", "100ms", "--downgrade-after", "200ms", "--rate", "1000")
	if f := r.Failover; f == nil || f.Ack < 100 || f.Delivery <= 0 || r.Messages == 0 {
		t.Errorf("result is %+v, %+v", r, f)
	}
}

func TestBenchFlags(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"sleep"},
		{"publish", "--store", "tape"},
		{"publish", "--messages", "many"},
		{"publish", "--messages", "1", "--duration", "1s"},
		{"publish", "--rate", "1"},
		{"publish", "--size", "3"},
		{"publish", "--dir", "/not/there"},
		{"publish", "--server", "somewhere"},
		{"latency", "--rate", "NaN"},
		{"failover", "--server", "tcp://127.0.0.1:1/amps/json"},
		{"failover", "--messages", "5"},
	} {
		var out, wrong bytes.Buffer
		code := run(append([]string{"bench"}, args...), &out, &wrong)
		if code != exitUsage || out.Len() > 0 || !strings.HasPrefix(wrong.String(), "holdfast: ") {
			t.Errorf("bench %v: exit code %d, %q, %q", args, code, out.String(), wrong.String())
		}
	}
}

// A benchmark that is interrupted leaves neither files nor processes.
func TestBenchInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "bench", "publish", "--duration", "1m", "--progress", "--dir", dir)
	progress, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	if _, err := progress.Read(make([]byte, 1)); err != nil { // wait until it has started
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Skip("no signals here")
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
