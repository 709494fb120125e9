package seglog

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// Preallocate reserves space with fallocate if the file system supports it.
func (f osFile) Preallocate(size int64) error {
	err := ignoreEINTR(func() error { return unix.Fallocate(int(f.Fd()), 0, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return f.grow(size)
	}
	if err != nil {
		return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
	}
	return nil
}

// Sync uses fdatasync: syncing the times of the file would cost a second write.
func (f osFile) Sync() error {
	err := ignoreEINTR(func() error { return unix.Fdatasync(int(f.Fd())) })
	if err != nil {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
	}
	return nil
}

// Data asks the file system, which knows the ranges that were only preallocated. If it cannot tell,
// all the rest counts as data.
func (f osFile) Data(at int64) (from, to int64) {
	from, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return math.MaxInt64, math.MaxInt64
	}
	if err == nil {
		to, err = unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
	}
	if err != nil {
		return at, math.MaxInt64
	}
	return from, to
}

// ignoreEINTR repeats a call that a signal interrupted before it did anything.
func ignoreEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
