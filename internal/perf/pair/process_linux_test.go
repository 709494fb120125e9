package pair_test

import (
	"io"
	"net"
	"os"
	"os/exec"
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
