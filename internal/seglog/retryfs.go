package seglog

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

const (
	retryTimeout  = 30 * time.Second      // how long a call waits for a file descriptor
	retryInterval = 20 * time.Millisecond // between attempts
)

// A retryFS waits while the process or the system has no free file descriptor. That condition
// passes, and it says nothing about the disk. The wait applies to every call that opens something.
// Writes and syncs need no descriptor, so they are never repeated (R7).
type retryFS struct{ FS }

// OpenFile implements FS.
func (d retryFS) OpenFile(name string, flag int) (File, error) {
	return retryOpen(func() (File, error) { return d.FS.OpenFile(name, flag) })
}

// Map implements FS.
func (d retryFS) Map(name string, size int64) (File, error) {
	return retryOpen(func() (File, error) { return d.FS.Map(name, size) })
}

// ReadDir implements FS.
func (d retryFS) ReadDir(dir string) ([]string, error) {
	return retryOpen(func() ([]string, error) { return d.FS.ReadDir(dir) })
}

// SyncDir implements FS. It opens the directory.
func (d retryFS) SyncDir(dir string) error {
	_, err := retryOpen(func() (struct{}, error) { return struct{}{}, d.FS.SyncDir(dir) })
	return err
}

// MkdirAll implements FS. It opens the directories above.
func (d retryFS) MkdirAll(dir string) error {
	_, err := retryOpen(func() (struct{}, error) { return struct{}{}, d.FS.MkdirAll(dir) })
	return err
}

// Lock implements FS.
func (d retryFS) Lock(dir string) (io.Closer, error) {
	return retryOpen(func() (io.Closer, error) { return d.FS.Lock(dir) })
}

func retryOpen[T any](open func() (T, error)) (T, error) {
	v, err := open()
	if !noDescriptor(err) {
		return v, err
	}
	for began := time.Now(); time.Since(began) < retryTimeout; {
		<-time.After(retryInterval)
		if v, err = open(); !noDescriptor(err) {
			return v, err
		}
	}
	return v, fmt.Errorf("no free file descriptor within %v: %w", retryTimeout, err)
}

func noDescriptor(err error) bool {
	return (errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)) && !failpoint.On(failpoint.DNoDescriptorIsFailed)
}
