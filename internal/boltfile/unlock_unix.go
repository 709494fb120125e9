//go:build unix

package boltfile

import (
	"os"

	"golang.org/x/sys/unix"
)

// unlock gives up the lock of a file that is still mapped: closing it doesn't.
func unlock(f *os.File) { _ = unix.Flock(int(f.Fd()), unix.LOCK_UN) } // it may be closed already
