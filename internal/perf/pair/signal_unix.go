//go:build unix

package pair

import (
	"os"
	"syscall"
)

// CanStop says whether a process can be stopped and continued here.
const CanStop = true

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
func suspend(p *os.Process) error   { return p.Signal(syscall.SIGSTOP) }
func resume(p *os.Process) error    { return p.Signal(syscall.SIGCONT) }
