// Package pair runs a pair of servers as processes on the loopback interface: for
// the examples that break one on purpose, and for measuring.
package pair

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
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// An Instance is one server process with its data directory.
type Instance struct {
	Name    string
	Clients string // address for clients

	dir     string // holds its configuration, journal and log
	command []string
	admin   string

	mu      sync.Mutex
	process *exec.Cmd     // guarded by mu; nil while dead
	exited  chan struct{} // guarded by mu; closed when process has ended
	stopped bool          // guarded by mu: suspended
}

// Options say what a pair is made of.
type Options struct {
	// Command runs an instance when "--config" and its file are added: what
	// Build returns, or a program that does the same. Its standard input ends
	// when this process does.
	Command []string
	// DowngradeAfter is how long either waits for the other. Default 2s.
	DowngradeAfter time.Duration
	// Through returns the address at which a peer's replication port is to be
	// reached. Default: its own.
	Through func(from, to, address string) (string, error)
}

// New writes the configurations of two instances that replicate synchronously
// to each other, below dir.
func New(dir string, o Options) ([2]*Instance, error) {
	var pair [2]*Instance
	if o.DowngradeAfter == 0 {
		o.DowngradeAfter = 2 * time.Second
	}
	addresses, err := freeAddresses(6)
	if err != nil {
		return pair, err
	}
	for i, name := range []string{"a", "b"} {
		in := &Instance{Name: name, dir: filepath.Join(dir, name), command: o.Command,
			Clients: addresses[i], admin: addresses[2+i]}
		if err := os.MkdirAll(in.dir, 0o755); err != nil {
			return pair, err
		}
		peer, at := []string{"b", "a"}[i], addresses[4+1-i]
		if o.Through != nil {
			if at, err = o.Through(name, peer, at); err != nil {
				return pair, err
			}
		}
		config := fmt.Sprintf(configuration, name, addresses[i], addresses[4+i], peer, at, o.DowngradeAfter, addresses[2+i])
		if err := os.WriteFile(in.config(), []byte(config), 0o644); err != nil {
			return pair, err
		}
		pair[i] = in
	}
	return pair, nil
}

// Start makes a pair as New does, starts it and returns when both instances are
// in sync with each other. After an error none runs.
func Start(ctx context.Context, dir string, o Options) ([2]*Instance, error) {
	pair, err := New(dir, o)
	if err != nil {
		return pair, err
	}
	for _, in := range pair {
		if _, err = in.Spawn(); err != nil {
			break
		}
	}
	if err == nil {
		err = AwaitSync(ctx, pair)
	}
	if err != nil {
		KillAll(pair)
	}
	return pair, err
}

// KillAll ends what runs of a pair as kill -9 does.
func KillAll(pair [2]*Instance) {
	for _, in := range pair {
		if in != nil && in.Alive() {
			_ = in.Kill() // it may be ending by itself
		}
	}
}

// URIs returns the instances' addresses as a client takes them.
func URIs(pair [2]*Instance) []string { return []string{pair[0].URI(), pair[1].URI()} }

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
      downgrade_after: %v
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

func (in *Instance) config() string { return filepath.Join(in.dir, "holdfastd.yaml") }

// Log returns the file that the instance's log goes to.
func (in *Instance) Log() string { return filepath.Join(in.dir, "holdfastd.log") }

// Journal returns the directory of the instance's journal.
func (in *Instance) Journal() string { return filepath.Join(in.dir, "journal") }

// URI returns the instance's address as a client takes it.
func (in *Instance) URI() string { return "tcp://" + in.Clients + "/amps/json" }

// Start starts the process and returns when it serves clients.
func (in *Instance) Start(ctx context.Context) error {
	ready, err := in.Spawn()
	if err != nil {
		return err
	}
	select {
	case _, ok := <-ready:
		if !ok {
			return fmt.Errorf("instance %s ended before it was ready; its log is %s", in.Name, in.Log())
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for instance %s: %w", in.Name, ctx.Err())
	}
}

// Spawn starts the process; ready receives its "ready" line, or is closed when it ends first.
func (in *Instance) Spawn() (ready <-chan string, err error) {
	logFile, err := os.OpenFile(in.Log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer logFile.Close() // the process has its own
	cmd := exec.Command(in.command[0], append(in.command[1:len(in.command):len(in.command)], "--config", in.config())...)
	cmd.Stderr = logFile
	if _, err := cmd.StdinPipe(); err != nil { // Wait closes it
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start instance %s: %w", in.Name, err)
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

// Kill ends the process as kill -9 does and waits until it is gone.
func (in *Instance) Kill() error { return in.end(func(p *os.Process) error { return p.Kill() }) }

// Stop ends the process in good order.
func (in *Instance) Stop() error { return in.end(terminate) }

func (in *Instance) end(how func(*os.Process) error) error {
	in.mu.Lock()
	cmd, exited := in.process, in.exited
	in.process, in.stopped = nil, false
	in.mu.Unlock()
	if cmd == nil {
		return fmt.Errorf("instance %s is not running", in.Name)
	}
	if err := how(cmd.Process); err != nil {
		return fmt.Errorf("end instance %s: %w", in.Name, err)
	}
	select {
	case <-exited:
		return nil
	case <-time.After(time.Minute):
		cmd.Process.Kill()
		return fmt.Errorf("instance %s did not end within a minute", in.Name)
	}
}

// Alive reports whether the process runs.
func (in *Instance) Alive() bool {
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

// Ended returns an error if the process has ended though nobody ended it.
func (in *Instance) Ended() error {
	in.mu.Lock()
	ours := in.process != nil
	in.mu.Unlock()
	if ours && !in.Alive() {
		return fmt.Errorf("instance %s ended by itself; its log is %s", in.Name, in.Log())
	}
	return nil
}

// Suspend stops the process as SIGSTOP does: its sockets are open and nothing
// answers. Where there are no signals (CanStop) it is an error.
func (in *Instance) Suspend() error { return in.signal(suspend, true) }

// Resume ends a Suspend.
func (in *Instance) Resume() error { return in.signal(resume, false) }

func (in *Instance) signal(send func(*os.Process) error, stopped bool) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.process == nil {
		return fmt.Errorf("instance %s is not running", in.Name)
	}
	err := send(in.process.Process)
	if err == nil {
		in.stopped = stopped
	}
	return err
}

// Stopped reports whether the process is suspended.
func (in *Instance) Stopped() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.stopped
}

// A Status is what an instance says of itself.
type Status struct {
	Ready      bool   `json:"ready"`
	CatchingUp bool   `json:"catching_up"`
	Links      []Link `json:"links"`
}

// A Link is that to the peer.
type Link struct {
	State        string `json:"state"`          // down, catching-up, sync
	Ack          string `json:"ack"`            // counting, downgraded
	OldestWaitMS int64  `json:"oldest_wait_ms"` // how long the oldest has waited that the peer has not acknowledged
}

// Status asks the instance; ok is false if it does not answer within a second.
func (in *Instance) Status() (s Status, ok bool) {
	client := http.Client{Timeout: time.Second}
	response, err := client.Get("http://" + in.admin + "/readyz")
	if err != nil {
		return s, false
	}
	defer response.Body.Close()
	err = json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&s)
	return s, err == nil
}

// InSync reports whether the instance serves clients and its link to the peer counts and is in sync.
func (in *Instance) InSync() bool {
	status, ok := in.Status()
	return ok && status.InSync()
}

// InSync is Instance.InSync at the moment of the status.
func (s Status) InSync() bool {
	for _, link := range s.Links {
		if link.State != "sync" || link.Ack != "counting" {
			return false
		}
	}
	return s.Ready && len(s.Links) > 0
}

// AwaitSync returns when both instances are in sync with each other.
func AwaitSync(ctx context.Context, pair [2]*Instance) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !pair[0].InSync() || !pair[1].InSync() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("the pair did not come into sync")
		}
	}
	return nil
}

// Build builds holdfastd into dir, with the build tags of this program.
func Build(dir string) (binary string, err error) {
	binary = filepath.Join(dir, "holdfastd")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	args := []string{"build", "-o", binary}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-tags" {
				args = append(args, "-tags", s.Value)
			}
		}
	}
	cmd := exec.Command("go", append(args, "github.com/holdfast-mq/holdfast/server/cmd/holdfastd")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build holdfastd: %w\n%s", err, out)
	}
	return binary, nil
}
