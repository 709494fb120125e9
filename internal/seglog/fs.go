package seglog

import (
	"errors"
	"io"
)

// ErrLocked reports that another process (or another Log of this one) holds
// the directory.
var ErrLocked = errors.New("directory is locked by another process")

// An FS is the disk a log is kept on: OS in production, memfs in tests.
// Names are slash-separated paths. All methods are safe for concurrent use.
type FS interface {
	// MkdirAll makes dir and its parents durable, no error if they exist.
	MkdirAll(dir string) error
	// OpenFile opens name for reading and writing; flag takes os.O_CREATE, os.O_EXCL and os.O_TRUNC.
	OpenFile(name string, flag int) (File, error)
	// Map opens a file of size bytes, all of which are there, for writes within
	// it that cost little: no call of the system, where that can be done. Like
	// others they survive the death of the process.
	Map(name string, size int64) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// ReadDir returns the names in dir, sorted.
	ReadDir(dir string) ([]string, error)
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
	// Lock locks a directory, or returns an error that is ErrLocked. Closing
	// releases it; so does the end of the process.
	Lock(dir string) (io.Closer, error)
	// Space returns the bytes of the disk that holds dir: those still free, and
	// all. A file system that does not say has more than anyone needs.
	Space(dir string) (free, total int64, err error)
}

// A File of an FS. Reads and writes are positional and may run side by side.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size returns the length in bytes.
	Size() (int64, error)
	Truncate(size int64) error
	// Preallocate grows the file to size with zeros whose space is reserved,
	// so that a full disk shows here and not in the middle of a write.
	// Where the file system can't reserve, it only grows the file.
	Preallocate(size int64) error
	// Sync makes data and length durable (fdatasync). An error is final.
	Sync() error
}

// A sparse file is a File that knows without reading where there are but
// zeros: in most of a segment that was preallocated.
type sparse interface {
	// Data returns the next piece at or behind at in which something else may
	// stand. It may go beyond the end; one that begins there: there is none.
	Data(at int64) (from, to int64)
}
