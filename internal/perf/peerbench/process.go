//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// stepTimeout is the time that a process has for its next step. Only a hang takes longer.
const stepTimeout = 30 * time.Second

// A process is a process that this one starts, in its own process group: an interrupt
// of the terminal goes to this process only, which ends the others. The end of its
// context ends the process.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.Closer     // a child ends when it is closed
	stdout *bufio.Reader // nil: the process does not answer while it runs
	stderr tailBuffer
	ended  chan struct{} // closed at the end; nil: the process is not a server of another program
}

// child returns this command as a child process with a spec, which it gets as JSON.
func (s *session) child(ctx context.Context, name string, spec any) *process {
	text, err := json.Marshal(spec)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return command(ctx, s.self, name, string(text))
}

func command(ctx context.Context, file string, args ...string) *process {
	cmd := exec.CommandContext(ctx, file, args...)
	p := &process{name: args[0], cmd: cmd}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Stderr = &p.stderr
	return p
}

// startWithOutput starts a process that answers while it runs.
func (p *process) startWithOutput() error {
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p.stdout = bufio.NewReader(stdout)
	return p.startCommand()
}

func (p *process) startCommand() (err error) {
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	if err = p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	return nil
}

// readAnswer decodes the next line of its output into v.
func (p *process) readAnswer(v any) error {
	text, err := p.stdout.ReadBytes('\n')
	if err == nil {
		return json.Unmarshal(text, v)
	}
	p.kill()
	return p.withOutput(err)
}

// kill kills the process.
func (p *process) kill() {
	if p.ended != nil {
		p.killGroup()
		return
	}
	p.cmd.Process.Kill()
	p.cmd.Wait() // the error is the signal
}

// run runs the process to its end and decodes its output into v.
func (p *process) run(ctx context.Context, v any) error {
	var stdout bytes.Buffer
	p.cmd.Stdout = &stdout
	if err := p.startCommand(); err != nil {
		return err
	}
	err := p.cmd.Wait()
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // processes that it started and left behind
	if err == nil {
		err = json.Unmarshal(stdout.Bytes(), v)
	}
	if err != nil {
		return p.withOutput(errors.Join(context.Cause(ctx), err))
	}
	return nil
}

// withOutput adds the end of the process's output to an error.
func (p *process) withOutput(err error) error {
	if output := strings.TrimSpace(string(p.stderr)); output != "" {
		return fmt.Errorf("%s: %w; the end of its output: %s", p.name, err, output)
	}
	return fmt.Errorf("%s: %w", p.name, err)
}

// load runs a child that measures and returns its sample.
func (s *session) load(ctx context.Context, child string, spec any) (values sample, err error) {
	err = s.child(ctx, child, spec).run(ctx, &values)
	return values, err
}

// A tailBuffer keeps the last bytes written to it.
type tailBuffer []byte

func (t *tailBuffer) Write(p []byte) (int, error) {
	const most = 512
	*t = append(*t, p...)
	*t = (*t)[max(0, len(*t)-most):]
	return len(p), nil
}

// writeAnswer writes the answer of a child to its parent.
func writeAnswer(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }

// exitWithParent ends a child when its standard input is closed.
func exitWithParent() {
	io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}
