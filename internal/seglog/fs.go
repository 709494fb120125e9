package seglog

import (
	"errors"
	"io"
)

// ErrLocked reports that another process, or another Log of this process, has locked the directory.
var ErrLocked = errors.New("directory is locked by another process")

// An FS is the file system that holds a log: OS in production, memfs in tests. Names are
// slash-separated paths. All methods are safe for concurrent use.
type FS interface {
	// MkdirAll makes dir and its parents, durably. It returns nil if they exist.
	MkdirAll(dir string) error
	// OpenFile opens name for reading and writing. flag may have os.O_CREATE, os.O_EXCL and
	// os.O_TRUNC.
	OpenFile(name string, flag int) (File, error)
	// Map opens an existing file of at least size bytes for cheap writes within these bytes:
	// without a system call where the system supports it. Like other writes they survive the death
	// of the process.
	Map(name string, size int64) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// ReadDir returns the names in dir, sorted.
	ReadDir(dir string) ([]string, error)
	// SyncDir makes the entries of dir durable.
	SyncDir(dir string) error
	// Lock locks a directory. If it is locked already the error is ErrLocked. Closing the result
	// releases the lock, and so does the end of the process.
	Lock(dir string) (io.Closer, error)
	// Space returns the free bytes and all bytes of the disk that holds dir. If the file system
	// does not know them, both are very large.
	Space(dir string) (free, total int64, err error)
}

// A File is an open file of an FS. Reads and writes are positional and may run concurrently.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size returns the length in bytes.
	Size() (int64, error)
	Truncate(size int64) error
	// Preallocate grows the file to size with zeros and reserves the space, so that a full disk is
	// reported here and not by a later write. If the file system cannot reserve space, it only
	// grows the file.
	Preallocate(size int64) error
	// Sync makes data and length durable (fdatasync). An error is final: do not retry.
	Sync() error
}

// A sparse file is a File that can tell without reading which ranges were never written and are
// therefore zeros. Most of a preallocated segment is like that.
type sparse interface {
	// Data returns the next range at or after at that may hold other bytes than zeros. The range
	// may extend beyond the end of the file. If it begins there, no such range is left.
	Data(at int64) (from, to int64)
}
