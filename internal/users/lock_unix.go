//go:build unix

package users

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// lock waits for the lock of a file, and returns the path of the file itself, without links. Since a
// change replaces the file, the lock counts only if the file still has this path.
func lock(file string) (target string, release func(), err error) {
	for {
		if target, err = resolve(file); err != nil {
			return "", nil, err
		}
		f, err := os.Open(target)
		if err != nil {
			return "", nil, err
		}
		release = func() { _ = f.Close() }
		if failpoint.On(failpoint.UsersUnlocked) {
			return target, release, nil
		}
		err = waitLock(f)
		locked, serr := f.Stat()
		if err = errors.Join(err, serr); err != nil {
			release()
			return "", nil, err
		}
		if now, err := os.Stat(target); err == nil && os.SameFile(locked, now) {
			return target, release, nil
		}
		release()
	}
}

// waitLock locks a file. A signal does not end the wait.
func waitLock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// copyOwner sets the owner and group of the file at path to those of another file.
func copyOwner(path string, of fs.FileInfo) error {
	if stat, ok := of.Sys().(*syscall.Stat_t); ok {
		return os.Chown(path, int(stat.Uid), int(stat.Gid))
	}
	return nil
}
