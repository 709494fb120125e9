package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// fullPipe returns the write end of a full pipe that nobody reads.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	if err := w.SetWriteDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 4096); err == nil; {
		if err = w.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err == nil {
			_, err = w.Write(b)
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return w
}

// brokenPipe returns the write end of a pipe whose reader has died.
func brokenPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { w.Close() })
	return w
}

// An instance serves and stops in order even if nobody reads its log and standard output, and it
// counts the dropped lines.
func TestUnreadLog(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals between processes there")
	}
	for name, pipe := range map[string]func(*testing.T) *os.File{"full": fullPipe, "dead": brokenPipe} {
		t.Run(name, func(t *testing.T) {
			ports := heldPorts(t)
			clients, admin := ports[0], ports[1]
			file := write(t, t.TempDir(), fmt.Sprintf("name: a\ndata: journal\nclients: {listen: %q}\nadmin: {listen: %q}\n", clients, admin))
			cmd := exec.Command(daemon, "-config", file)
			cmd.Stdout = pipe(t)
			cmd.Stderr = cmd.Stdout
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			hang := time.AfterFunc(patience, func() { cmd.Process.Kill() })
			defer hang.Stop()
			awaitPort(t, clients)
			const sessions = 3000 // enough lines to fill every buffer
			for i := range sessions {
				conn, err := net.Dial("tcp", clients)
				if err != nil {
					t.Fatal(err)
				}
				if i%100 == 0 {
					conn.Close()
					connect(t, clients, fmt.Sprint("pub", i)).conn.Close()
					continue
				}
				conn.Close()
			}
			connect(t, clients, "pubber").publish(1, 100)
			if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			connect(t, clients, "another").publish(1, 100)
			if name == "dead" && droppedLines(t, admin) == 0 {
				t.Error("no line of the log counts as dropped")
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("SIGTERM: %v", err)
			}
		})
	}
}

// droppedLines returns the number of dropped log lines in the status of an instance.
func droppedLines(t *testing.T, admin string) uint64 {
	t.Helper()
	answer, err := http.Get("http://" + admin + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var s server.Status
	if err := json.NewDecoder(answer.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s.LogDropped
}

func awaitPort(t *testing.T, address string) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < patience; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatalf("nobody listens at %s", address)
}

// SIGHUP reads the files again, and ends nothing.
func TestHangup(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals between processes there")
	}
	dir := t.TempDir()
	servertest.NewCA(t).Files(dir, "127.0.0.1")
	p := start(t, "-config", write(t, dir, lone+"admin: {listen: \"127.0.0.1:0\", tls: {cert: cert.pem, key: key.pem}}\n"))
	p.awaitReady()
	p.signal(syscall.SIGHUP)
	p.stderr.await(t, "certificate read again, nothing has changed")
	connect(t, p.addr, "pubber").publish(1, 10)
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("exit %d; log:\n%s", code, p.stderr)
	}
}
