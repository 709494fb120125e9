//go:build unix && !linux

package pair

import "syscall"

// killWithParent is for Linux. Elsewhere a command outlives a process that is killed.
func killWithParent(*syscall.SysProcAttr) {}
