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

// stepTimeout is for a process to do its next step; only a hang takes so long.
const stepTimeout = 30 * time.Second

// A process is one that this one starts, in a group of its own: a terminal's
// interrupt comes to this process only, which ends the others. Its context ends it.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.Closer     // a child ends with it
	stdout *bufio.Reader // of one that answers while it runs
	stderr tailBuffer
	ended  chan struct{} // of a server that is not a part of this command; closed at its end
}

// child is this command itself, as a child with a spec, which it is given as JSON.
func (b *session) child(ctx context.Context, name string, spec any) *process {
	text, err := json.Marshal(spec)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return command(ctx, b.self, name, string(text))
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

// startWithOutput starts one that answers while it runs.
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

// readAnswer reads the next line of what it says into v.
func (p *process) readAnswer(v any) error {
	text, err := p.stdout.ReadBytes('\n')
	if err == nil {
		return json.Unmarshal(text, v)
	}
	p.kill()
	return p.withOutput(err)
}

// kill ends it as kill -9 does.
func (p *process) kill() {
	if p.ended != nil {
		p.killGroup()
		return
	}
	p.cmd.Process.Kill()
	p.cmd.Wait() // its error is the signal
}

// run runs it to its end and reads all it says into v.
func (p *process) run(ctx context.Context, v any) error {
	var stdout bytes.Buffer
	p.cmd.Stdout = &stdout
	if err := p.startCommand(); err != nil {
		return err
	}
	err := p.cmd.Wait()
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // whatever it started and left
	if err == nil {
		err = json.Unmarshal(stdout.Bytes(), v)
	}
	if err != nil {
		return p.withOutput(errors.Join(context.Cause(ctx), err))
	}
	return nil
}

// withOutput adds to an error what the process said before it ended.
func (p *process) withOutput(err error) error {
	if said := strings.TrimSpace(string(p.stderr)); said != "" {
		return fmt.Errorf("%s: %w; its last words: %s", p.name, err, said)
	}
	return fmt.Errorf("%s: %w", p.name, err)
}

// load runs a child that measures, to its end.
func (b *session) load(ctx context.Context, child string, spec any) (s sample, err error) {
	err = b.child(ctx, child, spec).run(ctx, &s)
	return s, err
}

// A tailBuffer is the end of what was written to it.
type tailBuffer []byte

func (t *tailBuffer) Write(p []byte) (int, error) {
	const most = 512
	*t = append(*t, p...)
	*t = (*t)[max(0, len(*t)-most):]
	return len(p), nil
}

// writeAnswer is how a child answers.
func writeAnswer(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }

// exitWithParent ends a child when nobody holds its standard input any more.
func exitWithParent() {
	io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}
