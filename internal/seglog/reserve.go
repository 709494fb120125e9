package seglog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// reserveName is a file of nothing but space. A log whose disk is full can't
// be opened without a new segment; it gives the file up for that.
const reserveName = "reserve"

// KeepReserve makes the reserve file of the log in dir if there is none. A disk
// without that much room keeps none.
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
	return !mut.On(mut.R7NoReserve) && disk.Remove(path.Join(dir, reserveName)) == nil
}

// preallocate makes room for want bytes, on a disk without so much for need. It
// returns the size that the file has now.
func preallocate(f File, want, need int64) (int64, error) {
	had, err := f.Size()
	if err != nil {
		return 0, err
	}
	err = f.Preallocate(want)
	if !errors.Is(err, syscall.ENOSPC) || need >= want {
		return want, err
	}
	if err := f.Truncate(had); err != nil { // some file systems keep what there was room for
		return 0, err
	}
	return need, f.Preallocate(need)
}

// leastRoom is the least that a new segment has for records: a log on a full
// disk still notes that messages were let go.
const leastRoom = 64 << 10

// Room returns the bytes that are reserved for records and not used yet: what can be
// appended although the disk is full. Negative: what was appended and has no
// space yet.
func (l *Log) Room() (bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.segs) - 1; i >= 0 && l.segs[i].state != sealed; i-- {
		s := l.segs[i]
		bytes += s.size - s.offset(s.end)
	}
	return bytes
}
