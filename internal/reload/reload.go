// Package reload keeps values that are read from files, and replaces them while the process runs
// when the files change: certificates, secrets, tokens, users.
package reload

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync/atomic"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A Value is read from files. A change of the files replaces it as a whole, and only by a value
// that was read without an error: otherwise the old one stays. It is safe for concurrent use.
type Value[T any] struct {
	read    func() (T, error)
	paths   []string
	current atomic.Pointer[T]

	token  chan struct{} // its holder reads the files and owns the fields below
	loaded []fs.FileInfo // of paths, before they were read last; nil: the file was not there
	seen   []fs.FileInfo // at the last Poll
}

// New returns the value that read returns. paths are the files that read uses.
func New[T any](read func() (T, error), paths ...string) (*Value[T], error) {
	v := &Value[T]{read: read, paths: paths, token: make(chan struct{}, 1)}
	if err := v.Reload(); err != nil {
		return nil, err
	}
	return v, nil
}

// Get returns the present value.
func (v *Value[T]) Get() T { return *v.current.Load() }

// Reload reads the files and replaces the value. After an error the old value stays.
func (v *Value[T]) Reload() error {
	v.token <- struct{}{}
	defer func() { <-v.token }()
	return v.load(stat(v.paths))
}

// Poll does the same as Reload if a file has changed since it was read, by its time, size, mode or
// identity, and no file has changed since the last Poll: files that are still being written are not
// read. So a change counts at the second Poll, and Poll returns the error of a bad file once, until
// the file changes again. tried is true if it has read the files.
func (v *Value[T]) Poll() (tried bool, err error) {
	v.token <- struct{}{}
	defer func() { <-v.token }()
	now := stat(v.paths)
	settled := v.seen != nil && same(now, v.seen) || failpoint.On(failpoint.ReloadHalfFile)
	v.seen = now
	if !settled || same(now, v.loaded) {
		return false, nil
	}
	return true, v.load(now)
}

// load reads the files. now was taken before, so that the next Poll finds a change during the read.
func (v *Value[T]) load(now []fs.FileInfo) error {
	v.loaded = now
	fresh, err := v.read()
	if err != nil && !failpoint.On(failpoint.ReloadTakesBad) {
		return err
	}
	v.current.Store(&fresh)
	return err
}

func stat(paths []string) []fs.FileInfo {
	list := make([]fs.FileInfo, len(paths))
	for i, path := range paths {
		list[i], _ = os.Stat(path) // the read reports an error
	}
	return list
}

func same(a, b []fs.FileInfo) bool {
	for i := range a {
		switch {
		case a[i] == nil && b[i] == nil:
		case a[i] == nil || b[i] == nil:
			return false
		case !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || a[i].Mode() != b[i].Mode() || !a[i].ModTime().Equal(b[i].ModTime()):
			return false
		}
	}
	return true
}

// ReadFile returns the content of a regular file of at most limit bytes. If the mode of the file
// has one of the bits in forbidden, ReadFile refuses it: other users could access it. Windows has
// no such modes.
func ReadFile(path string, limit int64, forbidden fs.FileMode) ([]byte, error) {
	info, err := os.Stat(path) // before the open, which would wait for the writer of a pipe
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s has mode %04o, so that other users can access it: chmod 600 it, and replace its content if somebody may have read it", path, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return text, nil
}
