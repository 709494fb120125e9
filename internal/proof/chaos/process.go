//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// stepTimeout is the time for a process to do its next step; only a hang takes longer.
const stepTimeout = 45 * time.Second

// A process is one command in a host's network, which may be started again
// and again. Its methods are for one goroutine, but for ended.
type process struct {
	name            string
	host            string
	args            func() []string
	log             string            // file that takes its standard error
	onLine          func(line string) // called with each line of its standard output
	onUnexpectedEnd func(error)       // called when it ends unexpectedly

	mu       sync.Mutex
	cmd      *exec.Cmd      // guarded by mu; nil before the first start
	stdin    io.WriteCloser // guarded by mu
	exited   chan struct{}  // guarded by mu; closed when cmd has ended and all its output was heard
	expected bool           // guarded by mu: its end is expected
	code     int            // guarded by mu: of the last end; -1 after a signal
}

// start starts it; onLine, if not nil, gets the lines of this run too.
func (p *process) start(onLine func(string)) error { return p.launch(onLine, false) }

// startToEnd starts it for a life that may end from the first.
func (p *process) startToEnd() error { return p.launch(nil, true) }

func (p *process) launch(onLine func(string), meant bool) error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	line := inHost(p.host, p.args()...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	exited := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.stdin, p.exited, p.expected = cmd, stdin, exited, meant
	p.mu.Unlock()
	go p.follow(cmd, stdout, onLine, exited)
	return nil
}

// follow hears a life of the process to its end.
func (p *process) follow(cmd *exec.Cmd, stdout io.Reader, onLine func(string), exited chan struct{}) {
	scan := bufio.NewScanner(stdout)
	for scan.Scan() {
		if p.onLine != nil {
			p.onLine(scan.Text())
		}
		if onLine != nil {
			onLine(scan.Text())
		}
	}
	cmd.Wait()
	p.mu.Lock()
	p.code = cmd.ProcessState.ExitCode()
	meant, code := p.expected, p.code
	p.mu.Unlock()
	close(exited)
	if !meant {
		p.onUnexpectedEnd(fmt.Errorf("%s ended by itself with exit code %d; its log is %s", p.name, code, p.log))
	}
}

// ended returns a channel that is closed when the present life has ended.
func (p *process) ended() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exited
}

// alive reports whether it runs.
func (p *process) alive() bool {
	exited := p.ended()
	if exited == nil {
		return false
	}
	select {
	case <-exited:
		return false
	default:
		return true
	}
}

// expectEnd says that an end of the present run is expected from now on.
func (p *process) expectEnd() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = true
}

func (p *process) signal(s syscall.Signal) error {
	p.mu.Lock()
	cmd := p.cmd
	p.mu.Unlock()
	if err := cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %v to %s: %w", s, p.name, err)
	}
	return nil
}

// pid returns its process id.
func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// writeLine writes a line to its standard input.
func (p *process) writeLine(line string) error {
	p.mu.Lock()
	stdin := p.stdin
	p.mu.Unlock()
	_, err := io.WriteString(stdin, line+"\n")
	return err
}

// kill ends it as kill -9 does and returns when it is gone and all it said was heard.
func (p *process) kill() error {
	p.expectEnd()
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	_, err := p.awaitEnd()
	return err
}

// closeStdin closes its standard input, which asks a client to end, and waits.
func (p *process) closeStdin() error {
	p.expectEnd()
	p.mu.Lock()
	stdin := p.stdin
	p.mu.Unlock()
	stdin.Close()
	return p.awaitExit(0)
}

// awaitExit waits until it has ended and checks its exit code.
func (p *process) awaitExit(want int) error {
	code, err := p.awaitEnd()
	if err == nil && code != want {
		err = fmt.Errorf("%s ended with exit code %d, want %d; its log is %s", p.name, code, want, p.log)
	}
	return err
}

// awaitEnd waits until it has ended.
func (p *process) awaitEnd() (code int, err error) {
	select {
	case <-p.ended():
	case <-time.After(stepTimeout):
		return 0, fmt.Errorf("%s did not end within %v", p.name, stepTimeout)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.code, nil
}
