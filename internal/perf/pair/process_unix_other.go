//go:build unix && !linux

package pair

import "syscall"

// killWithParent does nothing: only Linux can kill a command with its parent.
func killWithParent(*syscall.SysProcAttr) {}
