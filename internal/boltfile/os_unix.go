//go:build unix

package boltfile

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// unlock gives up the lock of a file that is still mapped: closing it doesn't.
func unlock(f *os.File) { _ = unix.Flock(int(f.Fd()), unix.LOCK_UN) } // it may be closed already

// giveOwner gives a file the owner and the group of another.
func giveOwner(path string, like fs.FileInfo) error {
	if stat, ok := like.Sys().(*syscall.Stat_t); ok {
		return os.Chown(path, int(stat.Uid), int(stat.Gid))
	}
	return nil
}
