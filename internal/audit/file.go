package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/visible"
)

// A File is a file of lines with a maximum size. A line that does not fit begins a new file: NAME
// becomes NAME.1, NAME.1 becomes NAME.2, and so on. New files have mode 0600. A File is not safe
// for concurrent use.
type File struct {
	disk    seglog.FS
	name    string
	maxSize int64 // bytes
	keep    int   // number of old files

	open seglog.File // nil: the file must be opened before the next line
	size int64       // bytes of whole lines in it
}

// OpenFile opens or makes a file. Lines are appended to it.
func OpenFile(disk seglog.FS, name string, maxSize int64, keep int) (*File, error) {
	f := &File{disk: disk, name: name, maxSize: maxSize, keep: keep}
	return f, f.reopen()
}

// Handler returns a handler that writes each record as a line of JSON: the time in UTC, the message
// as event, and the attributes. It must not be used concurrently.
func (f *File) Handler() slog.Handler {
	return slog.NewJSONHandler(visible.NewJSONWriter(f), &slog.HandlerOptions{ReplaceAttr: replace})
}

// replace gives the fields of a record their names in the file.
func replace(groups []string, a slog.Attr) slog.Attr {
	switch {
	case len(groups) > 0:
	case a.Key == slog.MessageKey:
		a.Key = "event"
	case a.Key == slog.LevelKey:
		return slog.Attr{}
	case a.Key == slog.TimeKey:
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}

// Write appends a line. If it fails, the line is not in the file, and the next line opens the file
// anew.
func (f *File) Write(line []byte) (int, error) {
	if err := f.makeRoom(int64(len(line))); err != nil {
		return 0, err
	}
	if _, err := f.open.WriteAt(line, f.size); err != nil {
		_ = f.open.Truncate(f.size) // if this fails, the line is ended when the file is opened again
		return 0, errors.Join(err, f.close())
	}
	f.size += int64(len(line))
	return len(line), nil
}

// makeRoom opens the file if necessary, or another one if it has no room for a line.
func (f *File) makeRoom(bytes int64) error {
	if f.open == nil {
		if err := f.reopen(); err != nil {
			return err
		}
	}
	if f.size == 0 || f.size+bytes <= f.maxSize || failpoint.On(failpoint.AuditGrows) {
		return nil
	}
	if err := f.Close(); err != nil {
		return err
	}
	return f.rotate()
}

// rotate renames the files and makes a new one.
func (f *File) rotate() error {
	for n := f.keep - 1; n >= 0; n-- {
		if err := f.disk.Rename(f.numbered(n), f.numbered(n+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rotate %s: %w", f.name, err)
		}
	}
	return f.reopen()
}

// numbered returns the name of an old file. Number 0 is the current one.
func (f *File) numbered(n int) string {
	if n == 0 {
		return f.name
	}
	return fmt.Sprintf("%s.%d", f.name, n)
}

// reopen opens the file. If its last line is not whole, because the process was killed, it ends
// that line.
func (f *File) reopen() error {
	open, err := f.disk.OpenFile(f.name, os.O_CREATE)
	if err != nil {
		return err
	}
	size, err := open.Size()
	last := []byte{'\n'}
	if err == nil && size > 0 {
		_, err = open.ReadAt(last, size-1)
	}
	if err == nil && last[0] != '\n' {
		_, err = open.WriteAt([]byte{'\n'}, size)
		size++
	}
	if err != nil {
		return errors.Join(err, open.Close())
	}
	f.open, f.size = open, size
	return nil
}

// Close makes the lines durable and closes the file.
func (f *File) Close() error {
	if f.open == nil {
		return nil
	}
	return errors.Join(f.open.Sync(), f.close())
}

func (f *File) close() error {
	err := f.open.Close()
	f.open, f.size = nil, 0
	return err
}
