package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// An instance is one holdfastd process with its data directory.
type instance struct {
	name    string
	dir     string // holds its configuration, journal and log
	binary  string
	clients string // address for clients
	admin   string

	mu      sync.Mutex
	process *exec.Cmd     // guarded by mu; nil while dead
	exited  chan struct{} // guarded by mu; closed when process has ended
}

// newPair writes the configurations of two instances that replicate
// synchronously to each other, below dir.
func newPair(dir, binary string) ([2]*instance, error) {
	var pair [2]*instance
	addresses, err := freeAddresses(6)
	if err != nil {
		return pair, err
	}
	for i, name := range []string{"a", "b"} {
		in := &instance{name: name, dir: filepath.Join(dir, name), binary: binary,
			clients: addresses[i], admin: addresses[2+i]}
		if err := os.MkdirAll(in.dir, 0o755); err != nil {
			return pair, err
		}
		peer := []string{"b", "a"}[i]
		config := fmt.Sprintf(configuration, name, addresses[i], addresses[4+i], peer, addresses[4+1-i], addresses[2+i])
		if err := os.WriteFile(in.config(), []byte(config), 0o644); err != nil {
			return pair, err
		}
		pair[i] = in
	}
	return pair, nil
}

const configuration = `name: %s
group: pair
data: ./journal
clients:
  listen: %s
replication:
  listen: %s
  destinations:
    - name: %s
      address: %s
      ack: sync
      downgrade_after: 2s
admin:
  listen: %s
rejoin_timeout: 3s
`

// freeAddresses returns loopback addresses that nobody listens on.
func freeAddresses(n int) ([]string, error) {
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("look for a free port: %w", err)
		}
		defer l.Close() // all stay taken until the last is found, so that they differ
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

func (in *instance) config() string  { return filepath.Join(in.dir, "holdfastd.yaml") }
func (in *instance) journal() string { return filepath.Join(in.dir, "journal") }
func (in *instance) log() string     { return filepath.Join(in.dir, "holdfastd.log") }

// start starts the process and returns when it serves clients.
func (in *instance) start(ctx context.Context) error {
	ready, err := in.spawn()
	if err != nil {
		return err
	}
	select {
	case line, ok := <-ready:
		if !ok {
			return fmt.Errorf("instance %s ended before it was ready; its log is %s", in.name, in.log())
		}
		_ = line
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for instance %s: %w", in.name, ctx.Err())
	}
}

// spawn starts the process; ready receives its "ready" line, or is closed when it ends first.
func (in *instance) spawn() (ready <-chan string, err error) {
	logFile, err := os.OpenFile(in.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer logFile.Close() // the process has its own
	cmd := exec.Command(in.binary, "-config", in.config())
	cmd.Stderr = logFile
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start instance %s: %w", in.name, err)
	}
	exited := make(chan struct{})
	in.mu.Lock()
	in.process, in.exited = cmd, exited
	in.mu.Unlock()

	lines := make(chan string, 1)
	go func() {
		scan := bufio.NewScanner(out)
		for scan.Scan() {
			if strings.HasPrefix(scan.Text(), "ready") {
				lines <- scan.Text()
			}
		}
		cmd.Wait()
		close(lines)
		close(exited)
	}()
	return lines, nil
}

// kill ends the process as kill -9 does and waits until it is gone.
func (in *instance) kill() error { return in.end(func(p *os.Process) error { return p.Kill() }) }

// stop ends the process in good order.
func (in *instance) stop() error { return in.end(terminate) }

func (in *instance) end(how func(*os.Process) error) error {
	in.mu.Lock()
	cmd, exited := in.process, in.exited
	in.process = nil
	in.mu.Unlock()
	if cmd == nil {
		return fmt.Errorf("instance %s is not running", in.name)
	}
	if err := how(cmd.Process); err != nil {
		return fmt.Errorf("end instance %s: %w", in.name, err)
	}
	select {
	case <-exited:
		return nil
	case <-time.After(time.Minute):
		cmd.Process.Kill()
		return fmt.Errorf("instance %s did not end within a minute", in.name)
	}
}

// alive reports whether the process runs.
func (in *instance) alive() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.process == nil {
		return false
	}
	select {
	case <-in.exited:
		return false
	default:
		return true
	}
}

// inSync reports whether the instance serves clients and its link to the peer counts and is in sync.
func (in *instance) inSync() bool {
	client := http.Client{Timeout: time.Second}
	response, err := client.Get("http://" + in.admin + "/readyz")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return false
	}
	var status struct {
		Links []struct{ State, Ack string } `json:"links"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&status); err != nil {
		return false
	}
	for _, link := range status.Links {
		if link.State != "sync" || link.Ack != "counting" {
			return false
		}
	}
	return len(status.Links) > 0
}

// awaitSync returns when both instances are in sync with each other.
func awaitSync(ctx context.Context, pair [2]*instance) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !pair[0].inSync() || !pair[1].inSync() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("the pair did not come into sync")
		}
	}
	return nil
}
