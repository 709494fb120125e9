//go:build unix

package main

import (
	"syscall"
	"time"
)

// restToHalfCore rests until the process has taken no more than half a core since its start.
func restToHalfCore() {
	for {
		var u syscall.Rusage
		if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
			return
		}
		taken := time.Duration(u.Utime.Nano() + u.Stime.Nano())
		if ahead := taken - time.Since(processStart)/2 - 100*time.Millisecond; ahead <= 0 {
			return
		} else {
			time.Sleep(ahead)
		}
	}
}
