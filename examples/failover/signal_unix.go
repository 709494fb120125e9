//go:build unix

package main

import (
	"os"
	"syscall"
)

// canStop says whether a process can be stopped and continued here.
const canStop = true

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
func suspend(p *os.Process) error   { return p.Signal(syscall.SIGSTOP) }
func resume(p *os.Process) error    { return p.Signal(syscall.SIGCONT) }
