//go:build unix

package pair

import (
	"os"
	"os/exec"
	"syscall"
)

// HasSignals reports whether processes can get signals on this system.
const HasSignals = true

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
func resume(p *os.Process) error    { return p.Signal(syscall.SIGCONT) }

// Detach puts a command into a process group of its own: an interrupt of the terminal
// goes to this process only, which decides how the command ends. If the system
// supports it, the command is killed when this process dies.
func Detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	killWithParent(cmd.SysProcAttr)
}

// interrupt interrupts a detached process and its child processes.
func interrupt(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGINT) }
