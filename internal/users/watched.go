package users

import (
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A Watched holds the users of a file that may change. Safe for concurrent use.
type Watched struct {
	file    string
	current atomic.Pointer[Set]
	token   chan struct{} // held while the file is read; guards the fields below
	read    fileState     // of the file that was read last
	seen    fileState     // at the last poll
	failed  error         // of the last time that the file could not be read; nil: it could
}

// A fileState tells whether a file has changed. The zero fileState is that of no file.
type fileState struct{ fs.FileInfo }

func stateOf(file string) fileState {
	info, err := os.Stat(file)
	if err != nil {
		return fileState{}
	}
	return fileState{info}
}

// equals compares states by identity, size, time and mode.
func (s fileState) equals(other fileState) bool {
	if s.FileInfo == nil || other.FileInfo == nil {
		return s.FileInfo == nil && other.FileInfo == nil
	}
	return os.SameFile(s.FileInfo, other.FileInfo) && s.Size() == other.Size() && s.ModTime().Equal(other.ModTime()) && s.Mode() == other.Mode()
}

// Watch loads a file. Its errors are those of Load.
func Watch(file string) (*Watched, error) {
	w := &Watched{file: file, token: make(chan struct{}, 1)}
	if err := w.Reload(); err != nil {
		return nil, err
	}
	return w, nil
}

// Set returns the present users: those of the last file that could be used.
func (w *Watched) Set() *Set { return w.current.Load() }

// Reload reads the file. With an error, which is one of Load, the present users stay.
func (w *Watched) Reload() error {
	w.token <- struct{}{}
	defer func() { <-w.token }()
	return w.reload()
}

// Poll is Reload if the file has changed since it was read, and not since the last poll: a file that
// is still being written is not read. So a change counts at the second poll, and each error is
// returned once. loaded reports whether Set has changed. For a call every half second.
func (w *Watched) Poll() (loaded bool, err error) {
	w.token <- struct{}{}
	defer func() { <-w.token }()
	now := stateOf(w.file)
	settled := now.equals(w.seen) || failpoint.On(failpoint.UsersHalfFileTaken)
	w.seen = now
	failed := w.failed
	// A file that could not be read is tried again: its state does not show whether it can now.
	if !settled || now.equals(w.read) && failed == nil {
		return false, nil
	}
	err = w.reload()
	if failed != nil && w.failed != nil && failed.Error() == w.failed.Error() {
		return false, nil // reported already
	}
	return err == nil, err
}

// reload reads the file. The caller holds the token.
func (w *Watched) reload() error {
	w.read = stateOf(w.file) // before the file is read, so that a change meanwhile shows at the next poll
	text, err := read(w.file)
	w.failed = err
	var set *Set
	if err == nil {
		set, err = parse(w.file, text)
	}
	if err == nil {
		w.current.Store(set)
	} else if failpoint.On(failpoint.UsersBadFileTaken) {
		w.current.Store(&Set{})
	}
	return err
}
