//go:build unix && !linux

package pair

import "syscall"

// dieWithUs is for Linux. Elsewhere a command outlives a process that is killed.
func dieWithUs(*syscall.SysProcAttr) {}
