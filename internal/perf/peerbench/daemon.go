//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// serve starts a server that is not this command. Its output is kept for the error
// that reports an unexpected end.
func (p *process) serve(dir string, env ...string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	p.cmd.Dir, p.cmd.Env = dir, append(os.Environ(), env...)
	p.cmd.Stdout = &p.stderr
	if err := p.startCommand(); err != nil {
		return err
	}
	p.ended = make(chan struct{})
	go func() {
		p.cmd.Wait() // the error is the signal; the output explains an unexpected end
		close(p.ended)
	}()
	return nil
}

// killGroup kills a server and the other processes of its group.
func (p *process) killGroup() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended
}

// awaitListening waits until a server accepts connections.
func (p *process) awaitListening(ctx context.Context, address string) error {
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.ended:
			return p.withOutput(errors.New("ended before it listened"))
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen: %w", p.name, context.Cause(ctx))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// serve adds a server to the cluster.
func (c *cluster) serve(p *process, dir string, env ...string) error {
	err := p.serve(dir, env...)
	if err == nil {
		c.processes = append(c.processes, p)
	}
	return err
}
