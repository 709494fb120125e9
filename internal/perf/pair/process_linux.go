package pair

import "syscall"

// killWithParent has the kernel kill the command when the thread that has started it
// ends. The runtime ends no thread while this process lives, except under a
// goroutine that has locked itself to one.
func killWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
