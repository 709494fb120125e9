package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// reserveName is a file of nothing but space. A journal whose disk is full
// can't be opened without a new segment; it gives the file up for that.
const reserveName = "reserve"

// KeepReserve makes the reserve file if there is none: room for one segment.
func (j *Journal) KeepReserve() error {
	name := path.Join(j.o.Dir, reserveName)
	f, err := j.o.FS.OpenFile(name, os.O_CREATE|os.O_EXCL)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = f.Preallocate(j.ReserveBytes())
		if err == nil {
			err = f.Sync()
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			err = errors.Join(err, j.o.FS.Remove(name))
		}
	}
	if err != nil {
		return fmt.Errorf("journal: reserve file: %w", err)
	}
	return nil
}

// ReserveBytes is the size of the reserve file: a segment and its head.
func (j *Journal) ReserveBytes() int64 { return j.o.SegmentBytes + j.o.SegmentBytes/4 + 8<<10 }

// dropReserve removes the reserve file and reports whether there was one.
func dropReserve(disk seglog.FS, dir string) bool {
	return !mut.On(mut.R7NoReserve) && disk.Remove(path.Join(dir, reserveName)) == nil
}

// TrimClosed removes the oldest segments of a journal that nobody has open, until
// the journal takes no more than bytes, 0: no bound, and need bytes are free again.
// The last segment stays. It needs no space, and asks no destination whether it
// lacks them: floors come from the head of the oldest segment left. It returns how
// many went.
func TrimClosed(disk seglog.FS, dir string, bytes, need int64) (segments int, err error) {
	enough := func(size, freed int64) bool { return (bytes == 0 || size <= bytes) && freed >= need }
	n, err := seglog.TrimClosed(seglog.Options{FS: disk, Dir: dir, CheckHead: checkHead}, enough, func(head []byte) error {
		if len(head) == 0 {
			return ErrNotJournal // only where a log begins there is none
		}
		_, err := headVector(head)
		return err
	})
	if err != nil {
		return n, fmt.Errorf("journal: trim: %w", err)
	}
	return n, nil
}
