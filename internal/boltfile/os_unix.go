//go:build unix

package boltfile

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// unlock releases the lock of a file that is still mapped. Closing the file does not.
func unlock(f *os.File) { _ = unix.Flock(int(f.Fd()), unix.LOCK_UN) } // it may be closed already

// copyOwner sets the owner and group of the file at path to those of another file.
func copyOwner(path string, of fs.FileInfo) error {
	if stat, ok := of.Sys().(*syscall.Stat_t); ok {
		return os.Chown(path, int(stat.Uid), int(stat.Gid))
	}
	return nil
}
