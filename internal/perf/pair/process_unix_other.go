//go:build unix && !linux

package pair

import (
	"os"
	"syscall"
)

func suspend(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

// killWithParent does nothing: only Linux can kill a command with its parent.
func killWithParent(*syscall.SysProcAttr) {}
