//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// ignoreTerminalInput lets a process in the background read its terminal: the read fails, instead of
// suspending the process.
func ignoreTerminalInput() { signal.Ignore(syscall.SIGTTIN) }
