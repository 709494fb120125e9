package pair

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// suspend returns when all threads of the process have stopped: the signal alone only asks for that.
func suspend(p *os.Process) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for {
		err := unix.Waitid(unix.P_PID, p.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("waitid", err)
		}
	}
}

// killWithParent lets the kernel kill the command when the thread that started it ends.
// The runtime ends no thread while this process lives, except one to which a
// goroutine has locked itself.
func killWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
