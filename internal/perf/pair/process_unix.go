//go:build unix

package pair

import (
	"os"
	"os/exec"
	"syscall"
)

// HasSignals says whether a process can be stopped and continued here.
const HasSignals = true

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
func suspend(p *os.Process) error   { return p.Signal(syscall.SIGSTOP) }
func resume(p *os.Process) error    { return p.Signal(syscall.SIGCONT) }

// Detach puts a command into a process group of its own: a terminal's interrupt
// goes to this process alone, which decides how the command ends. Where the
// system can, the command is killed when this process dies.
func Detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	killWithParent(cmd.SysProcAttr)
}

// interrupt interrupts a detached process with all that it has started.
func interrupt(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGINT) }
