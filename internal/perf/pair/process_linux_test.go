package pair_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
)

// start starts an instance that never becomes ready, and waits for its end.
func start() error {
	cmd := exec.Command(os.Args[0], "hang", "--config", "none")
	pair.Detach(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Wait()
}

// An instance does not outlive a parent that is killed.
func TestInstanceDiesWithItsParent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	program := exec.Command(os.Args[0], "start", "an", "instance")
	program.Env = append(os.Environ(), reportTo+"="+l.Addr().String())
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = program.Wait() // it was killed
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the instance lives: %v", err)
	} else if err != io.EOF {
		t.Log(err)
	}
}

// A suspended process has stopped with all its threads. It can be suspended again, and one that is
// gone is an error.
func TestSuspend(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := exec.Command(os.Args[0], "hang", "--config", "none")
	cmd.Env = append(os.Environ(), reportTo+"="+l.Addr().String())
	pair.Detach(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); err != nil { // it runs
		t.Fatal(err)
	}
	for range 50 {
		for range 2 {
			if err := pair.Suspend(cmd.Process); err != nil {
				t.Fatal(err)
			}
			checkStopped(t, cmd.Process.Pid)
		}
		if err := pair.Resume(cmd.Process); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if err := pair.Suspend(cmd.Process); err == nil {
		t.Error("a process that is gone was suspended")
	}
}

// checkStopped checks that no thread of a process runs.
func checkStopped(t *testing.T, pid int) {
	t.Helper()
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(stats) == 0 {
		t.Fatalf("threads %q: %v", stats, err)
	}
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, state, _ := strings.Cut(string(stat), ") ")
		if !strings.HasPrefix(state, "T") {
			t.Errorf("%s: %.20s", name, state)
		}
	}
}
