// Package child runs this program again as a process of its own: an application
// that is killed, so that the next one has to go on.
package child

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
)

// A Process is this program as a process of its own, one after the other. Its
// standard input ends when this process does.
type Process struct {
	name   string
	onLine func(line string)

	mu            sync.Mutex
	cmd           *exec.Cmd     // guarded by mu; of the last one
	input         io.Closer     // guarded by mu; its standard input
	exited        chan struct{} // guarded by mu; closed when it has ended
	expected      bool          // guarded by mu: its end is
	unexpectedEnd error         // guarded by mu: why it ended by itself
	lastEnd       error         // guarded by mu: how the last one ended
}

// Context returns, to a process that was started here, a context that ends with
// its standard input.
func Context() context.Context {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return ctx
}

// New returns a process that doesn't run yet. onLine is called with each line of its
// standard output, on a goroutine of its own.
func New(name string, onLine func(line string)) *Process {
	return &Process{name: name, onLine: onLine}
}

// Start starts the process with the given arguments; the one before must have ended.
func (p *Process) Start(args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, args...)
	pair.Detach(cmd)
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	exited := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.input, p.exited, p.expected = cmd, input, exited, false
	p.mu.Unlock()
	go func() {
		for scan := bufio.NewScanner(out); scan.Scan(); {
			p.onLine(scan.Text())
		}
		err := cmd.Wait()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
		}
		p.mu.Lock()
		p.lastEnd = err
		if !p.expected {
			p.unexpectedEnd = fmt.Errorf("%s ended by itself: %v", p.name, err)
		}
		p.mu.Unlock()
		close(exited)
	}()
	return nil
}

// ExpectEnd says that the process may end by itself from now on.
func (p *Process) ExpectEnd() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = true
}

// Exited returns a channel that is closed when the process that was started
// last has ended and onLine was called with all of its output.
func (p *Process) Exited() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exited
}

// Running reports whether a process was started and has not ended.
func (p *Process) Running() bool {
	exited := p.Exited()
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

// Kill ends the process as kill -9 does and waits until it is gone.
func (p *Process) Kill() error {
	p.ExpectEnd()
	p.mu.Lock()
	cmd, exited := p.cmd, p.exited
	p.mu.Unlock()
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-exited
	return p.Err()
}

// Stop ends the standard input of the process and waits until it has ended, as it
// should with exit code 0.
func (p *Process) Stop() error {
	p.ExpectEnd()
	p.mu.Lock()
	cmd, input, exited := p.cmd, p.input, p.exited
	p.mu.Unlock()
	if err := input.Close(); err != nil {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-exited:
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.unexpectedEnd == nil && p.lastEnd != nil {
			return fmt.Errorf("stop %s: %w", p.name, p.lastEnd)
		}
		return p.unexpectedEnd
	case <-time.After(time.Minute):
		cmd.Process.Kill()
		return fmt.Errorf("%s did not end within a minute", p.name)
	}
}

// Err returns why the process ended by itself; nil if it did not.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unexpectedEnd
}
