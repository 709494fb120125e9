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
	scarcePatience = 30 * time.Second      // how long a call waits for a file descriptor
	scarcePause    = 20 * time.Millisecond // between attempts
)

// A scarceFS waits while the process or the system has no free file descriptor. That condition
// passes, and it says nothing about the disk. The wait applies to every call that opens something.
// Writes and syncs need no descriptor, so they are never repeated (R7).
type scarceFS struct{ FS }

// OpenFile implements FS.
func (d scarceFS) OpenFile(name string, flag int) (File, error) {
	return patiently(func() (File, error) { return d.FS.OpenFile(name, flag) })
}

// Map implements FS.
func (d scarceFS) Map(name string, size int64) (File, error) {
	return patiently(func() (File, error) { return d.FS.Map(name, size) })
}

// ReadDir implements FS.
func (d scarceFS) ReadDir(dir string) ([]string, error) {
	return patiently(func() ([]string, error) { return d.FS.ReadDir(dir) })
}

// SyncDir implements FS. It opens the directory.
func (d scarceFS) SyncDir(dir string) error {
	_, err := patiently(func() (struct{}, error) { return struct{}{}, d.FS.SyncDir(dir) })
	return err
}

// MkdirAll implements FS. It opens the directories above.
func (d scarceFS) MkdirAll(dir string) error {
	_, err := patiently(func() (struct{}, error) { return struct{}{}, d.FS.MkdirAll(dir) })
	return err
}

// Lock implements FS.
func (d scarceFS) Lock(dir string) (io.Closer, error) {
	return patiently(func() (io.Closer, error) { return d.FS.Lock(dir) })
}

func patiently[T any](open func() (T, error)) (T, error) {
	v, err := open()
	if !scarce(err) {
		return v, err
	}
	for began := time.Now(); time.Since(began) < scarcePatience; {
		<-time.After(scarcePause)
		if v, err = open(); !scarce(err) {
			return v, err
		}
	}
	return v, fmt.Errorf("no file descriptor for %v: %w", scarcePatience, err)
}

func scarce(err error) bool {
	return (errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)) && !failpoint.On(failpoint.DScarceIsFailed)
}
