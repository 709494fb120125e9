package pair

import "syscall"

// killWithParent lets the kernel kill the command when the thread that started it ends.
// The runtime ends no thread while this process lives, except one to which a
// goroutine has locked itself.
func killWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
