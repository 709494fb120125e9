// Package pair runs a pair of servers as processes on the loopback interface, for
// measurements and for the examples that break a pair on purpose.
package pair

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/heldport"
)

// An Instance is one server process with its data directory.
type Instance struct {
	Name          string
	ClientAddress string // address for clients

	dir      string // holds its configuration, journal and log
	command  []string
	admin    string
	ports    []*heldport.Port
	openLog  func() (*os.File, error)
	security *Security // nil: no TLS and no users

	mu        sync.Mutex
	ask       Admin         // guarded by mu
	process   *exec.Cmd     // guarded by mu; nil while dead
	exited    chan struct{} // guarded by mu; closed when process has ended
	exitErr   error         // guarded by mu: how the last process that has ended did
	suspended bool          // guarded by mu: suspended
	closed    bool          // guarded by mu
}

func (in *Instance) config() string { return filepath.Join(in.dir, "holdfastd.yaml") }

// Dir returns the directory that has the instance's configuration, journal and log.
func (in *Instance) Dir() string { return in.dir }

// Configure replaces the configuration, for the next start.
func (in *Instance) Configure(text string) error {
	return os.WriteFile(in.config(), []byte(text), 0o644)
}

// Log returns the path of the instance's log file.
func (in *Instance) Log() string { return filepath.Join(in.dir, "holdfastd.log") }

// Journal returns the directory of the instance's journal.
func (in *Instance) Journal() string { return filepath.Join(in.dir, "journal") }

// AdminAddress returns the address of the admin port.
func (in *Instance) AdminAddress() string { return in.admin }

// ReplicationAddress returns the address of the replication port.
func (in *Instance) ReplicationAddress() string { return in.ports[replicationPort].Address }

// URI returns the connection URI for clients.
func (in *Instance) URI() string {
	scheme := "tcp"
	if in.security != nil {
		scheme = "tcps"
	}
	return scheme + "://" + in.ClientAddress + "/amps/json"
}

// Start starts the process and waits until it serves clients.
func (in *Instance) Start(ctx context.Context) error {
	ready, err := in.Spawn()
	if err != nil {
		return err
	}
	select {
	case _, ok := <-ready:
		if !ok {
			return fmt.Errorf("instance %s ended before it was ready; %s", in.Name, in.logTail())
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for instance %s: %w", in.Name, context.Cause(ctx))
	}
}

// Spawn starts the process. ready receives its "ready" line, or is closed if the
// process ends first. If the previous process has ended by itself, Spawn returns an
// error and starts nothing.
func (in *Instance) Spawn() (ready <-chan string, err error) {
	if err := in.UnexpectedExit(); err != nil {
		return nil, err
	}
	logFile, err := in.openLog()
	if err != nil {
		return nil, err
	}
	defer logFile.Close() // the process has its own
	cmd := exec.Command(in.command[0], append(in.command[1:len(in.command):len(in.command)], "--config", in.config())...)
	Detach(cmd)
	cmd.Stderr = logFile
	if _, err := cmd.StdinPipe(); err != nil { // Wait closes it
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	exited, err := in.launch(cmd)
	if err != nil {
		return nil, fmt.Errorf("start instance %s: %w", in.Name, err)
	}
	lines := make(chan string, 1)
	go func() {
		for scan := bufio.NewScanner(out); scan.Scan(); {
			if strings.HasPrefix(scan.Text(), "ready") {
				lines <- scan.Text()
			}
		}
		err := cmd.Wait()
		in.mu.Lock()
		in.exitErr = err
		in.mu.Unlock()
		close(exited)
		close(lines)
	}()
	return lines, nil
}

// launch starts a process, unless the instance is closed. The caller closes exited
// when the process has ended.
func (in *Instance) launch(cmd *exec.Cmd) (exited chan struct{}, err error) {
	for _, p := range in.ports {
		p.Lend()
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	exited = make(chan struct{})
	in.mu.Lock()
	closed := in.closed
	if !closed {
		in.process, in.exited = cmd, exited
	}
	in.mu.Unlock()
	if closed {
		cmd.Process.Kill()
		cmd.Wait()
		return nil, errors.New("the instance is closed")
	}
	return exited, nil
}

// Kill ends the process as kill -9 does and waits until it is gone.
func (in *Instance) Kill() error { return in.end(func(p *os.Process) error { return p.Kill() }) }

// Stop shuts the process down cleanly. On systems with signals, an exit code other
// than 0 is an error.
func (in *Instance) Stop() error {
	if err := in.end(terminate); err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.exitErr != nil && HasSignals {
		return fmt.Errorf("stop instance %s: %w; %s", in.Name, in.exitErr, in.logTail())
	}
	return nil
}

func (in *Instance) end(how func(*os.Process) error) error {
	in.mu.Lock()
	cmd, exited := in.process, in.exited
	in.process, in.suspended = nil, false
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

// PID returns the id of the running process, 0 if there is none.
func (in *Instance) PID() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.process == nil {
		return 0
	}
	return in.process.Process.Pid
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

// UnexpectedExit returns an error if the process has ended by itself.
func (in *Instance) UnexpectedExit() error {
	in.mu.Lock()
	ours := in.process != nil
	in.mu.Unlock()
	if ours && !in.Alive() {
		return fmt.Errorf("instance %s ended by itself; %s", in.Name, in.logTail())
	}
	return nil
}

// logTail returns the end of the instance's log, with the path of the file.
func (in *Instance) logTail() string {
	const most = 2000
	text, err := os.ReadFile(in.Log())
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("the end of its log %s:\n%s", in.Log(), bytes.TrimSpace(text[max(0, len(text)-most):]))
}

// Close kills the process and releases the ports. The instance cannot be started again.
func (in *Instance) Close() {
	in.mu.Lock()
	closed := in.closed
	in.closed = true
	in.mu.Unlock()
	if closed {
		return
	}
	if in.Alive() {
		_ = in.Kill() // it may be ending by itself
	}
	for _, p := range in.ports {
		p.Free()
	}
}

// Suspend suspends the process with SIGSTOP: its sockets stay open and it does not answer. On Linux
// it has stopped when Suspend returns, elsewhere it will. On systems without signals (HasSignals)
// Suspend returns an error.
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
		in.suspended = stopped
	}
	return err
}

// Suspended reports whether the process is suspended.
func (in *Instance) Suspended() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.suspended
}

// A Status is the part of an instance's status that this package reads.
type Status struct {
	Ready      bool   `json:"ready"`
	CatchingUp bool   `json:"catching_up"`
	Cluster    string `json:"cluster"` // id that the journals of the pair have in common
	Links      []Link `json:"links"`
	LogDropped uint64 `json:"log_dropped"` // log lines that could not be written
}

// A Link is the link to the peer.
type Link struct {
	State        string `json:"state"`          // down, catching-up, sync
	Ack          string `json:"ack"`            // counting, downgraded
	OldestWaitMS int64  `json:"oldest_wait_ms"` // age of the oldest record that the peer has not acknowledged
}

// Admin says how to send requests to the admin port of an instance. The zero Admin uses neither TLS
// nor a token.
type Admin struct {
	TLS   *tls.Config // nil: without TLS
	Token string      // empty: none
}

// SetAdmin sets how later requests go to the admin port.
func (in *Instance) SetAdmin(a Admin) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ask = a
}

// Status requests the status. ok is false if the instance does not answer within a second.
func (in *Instance) Status() (s Status, ok bool) {
	text, err := in.Get("/status")
	return s, err == nil && json.Unmarshal(text, &s) == nil
}

// Get requests a page of the admin port, of up to 1 MiB. It returns an error if the instance does not
// answer with it within a second.
func (in *Instance) Get(path string) ([]byte, error) {
	in.mu.Lock()
	a := in.ask
	in.mu.Unlock()
	url := "http://" + in.admin + path
	if a.TLS != nil {
		url = "https://" + in.admin + path
	}
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if a.Token != "" {
		request.Header.Set("Authorization", "Bearer "+a.Token)
	}
	client := http.Client{Timeout: time.Second}
	if a.TLS != nil {
		client.Transport = &http.Transport{TLSClientConfig: a.TLS, DisableKeepAlives: true}
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, 1<<20))
}

// InSync reports whether the instance serves clients, its link to the peer is in sync,
// and acks wait for that peer.
func (in *Instance) InSync() bool {
	status, ok := in.Status()
	return ok && status.InSync()
}

// InSync is Instance.InSync for a status.
func (s Status) InSync() bool {
	for _, link := range s.Links {
		if link.State != "sync" || link.Ack != "counting" {
			return false
		}
	}
	return s.Ready && len(s.Links) > 0
}
