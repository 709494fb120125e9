package seglog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// reserveName is the name of a file that only reserves space. A log on a full disk cannot be opened
// without space for a new segment. The reserve file is deleted to get it.
const reserveName = "reserve"

// KeepReserve makes the reserve file of the log in dir, size bytes long, if there is none. If the
// disk does not have that much space it returns an error and leaves no file.
func KeepReserve(disk FS, dir string, size int64) error {
	name := path.Join(dir, reserveName)
	f, err := disk.OpenFile(name, os.O_CREATE|os.O_EXCL)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = f.Preallocate(size)
		if err == nil {
			err = f.Sync()
		}
		if err = cmp.Or(err, f.Close()); err != nil {
			err = errors.Join(err, disk.Remove(name))
		}
	}
	if err != nil {
		return fmt.Errorf("reserve file: %w", err)
	}
	return nil
}

// DropReserve removes the reserve file and reports whether there was one.
func DropReserve(disk FS, dir string) bool {
	return !failpoint.On(failpoint.R7NoReserve) && disk.Remove(path.Join(dir, reserveName)) == nil
}

// preallocate reserves want bytes for a file, or need bytes if the disk is too full for that. It
// returns the new size of the file.
func preallocate(f File, want, need int64) (int64, error) {
	oldSize, err := f.Size()
	if err != nil {
		return 0, err
	}
	err = f.Preallocate(want)
	if !errors.Is(err, syscall.ENOSPC) || need >= want {
		return want, err
	}
	if err := f.Truncate(oldSize); err != nil { // some file systems keep the space that they could reserve
		return 0, err
	}
	return need, f.Preallocate(need)
}

// minRoom is the least space for records in a new segment. It is enough for a log on a full disk
// to note that messages were let go.
const minRoom = 64 << 10

// Room returns the number of bytes that can be appended even if the disk is full: space that is
// reserved for records and not used yet. It is negative if appended records have no reserved space.
func (l *Log) Room() (bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.segs) - 1; i >= 0 && l.segs[i].state != sealed; i-- {
		s := l.segs[i]
		bytes += s.size - s.offset(s.end)
	}
	return bytes
}
