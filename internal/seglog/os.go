package seglog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// OS is the file system of the operating system. Only the process's own user can access the files
// and directories that it makes, since files hold message bodies.
var OS FS = osFS{}

// ReadOnly is the same file system for inspection: it opens files for reading, lists directories
// and locks them. Every method that would change the disk fails.
var ReadOnly FS = readOnlyFS{}

type osFS struct{}

func (osFS) MkdirAll(dir string) error {
	dir = filepath.Clean(filepath.FromSlash(dir))
	if st, err := os.Stat(dir); err == nil {
		if !st.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		}
		// The process that made dir may have died before the name was durable.
		if err := syncDir(filepath.Dir(dir)); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := (osFS{}).MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func (osFS) OpenFile(name string, flag int) (File, error) {
	return openFile(name, os.O_RDWR|flag)
}

// ErrNotFile reports a link, a pipe or another special file in the place of a regular file.
var ErrNotFile = errors.New("not a regular file (links are not followed)")

// openFile opens a regular file. It follows no link, so that the process cannot be made to change a
// file elsewhere. It opens no pipe, since that could block.
func openFile(name string, flag int) (File, error) {
	name = filepath.FromSlash(name)
	if failpoint.On(failpoint.DLinkFollowed) {
		f, err := os.OpenFile(name, flag, 0o600)
		return osFile{f}, err
	}
	dir, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	base := filepath.Base(name)
	info, err := dir.Lstat(base)
	if err == nil && !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: ErrNotFile}
	}
	var f *os.File
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		f, err = dir.OpenFile(base, flag, 0o600)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.Unwrap(err)}
	}
	return osFile{f}, nil
}

func (osFS) Map(name string, size int64) (File, error) {
	f, err := (osFS{}).OpenFile(name, 0)
	if err != nil {
		return nil, err
	}
	m, err := mapFile(f.(osFile), size)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return m, nil
}

func (osFS) Rename(from, to string) error {
	return os.Rename(filepath.FromSlash(from), filepath.FromSlash(to))
}

func (osFS) Remove(name string) error { return os.Remove(filepath.FromSlash(name)) }

func (osFS) ReadDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.FromSlash(dir))
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (osFS) SyncDir(dir string) error { return syncDir(filepath.FromSlash(dir)) }

func (osFS) Lock(dir string) (io.Closer, error) {
	f, err := openLock(filepath.FromSlash(dir))
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return f, nil
}

func (osFS) Space(dir string) (free, total int64, err error) { return space(filepath.FromSlash(dir)) }

// A readOnlyFS refuses operations that would change the disk.
type readOnlyFS struct{ osFS }

func permissionError(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: fs.ErrPermission}
}

func (readOnlyFS) MkdirAll(dir string) error   { return permissionError("mkdir", dir) }
func (readOnlyFS) Rename(from, _ string) error { return permissionError("rename", from) }
func (readOnlyFS) Remove(name string) error    { return permissionError("remove", name) }
func (readOnlyFS) Map(name string, _ int64) (File, error) {
	return nil, permissionError("map", name)
}
func (readOnlyFS) SyncDir(dir string) error { return permissionError("sync", dir) }

func (readOnlyFS) OpenFile(name string, flag int) (File, error) {
	if flag != 0 {
		return nil, permissionError("create", name)
	}
	return openFile(name, os.O_RDONLY)
}

// An osFile adds to os.File the methods that differ between systems, see os_*.go.
type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// grow extends the file without reserving anything.
func (f osFile) grow(size int64) error {
	have, err := f.Size()
	if err != nil || have >= size {
		return err
	}
	return f.Truncate(size)
}
