package journal

import (
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// KeepReserve makes the reserve file if there is none. The file has room for one segment.
func (j *Journal) KeepReserve() error {
	if err := seglog.KeepReserve(j.o.FS, j.o.Dir, j.ReserveBytes()); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// ReserveBytes returns the size of the reserve file: a segment and its head.
func (j *Journal) ReserveBytes() int64 { return j.o.SegmentBytes + j.o.SegmentBytes/4 + 8<<10 }

// TrimClosed removes the oldest segments of a journal that is not open. It stops when the
// journal has at most maxBytes (0: no bound) and freeBytes were freed. It never removes the
// last segment. It returns the number of removed segments.
//
// TrimClosed needs no disk space, because the head of the oldest remaining segment has the
// floors. It does not check whether a destination lacks the records.
func TrimClosed(disk seglog.FS, dir string, maxBytes, freeBytes int64) (segments int, err error) {
	enough := func(size, freed int64) bool { return (maxBytes == 0 || size <= maxBytes) && freed >= freeBytes }
	n, err := seglog.TrimClosed(seglog.Options{FS: disk, Dir: dir, CheckHead: checkHead}, enough, func(head []byte) error {
		if len(head) == 0 {
			return ErrNotJournal // only the first segment of a log has no head
		}
		_, err := headVector(head)
		return err
	})
	return n, annotate(err, "trim")
}
