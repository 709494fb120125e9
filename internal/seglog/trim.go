package seglog

import (
	"errors"
	"fmt"
	"io"
)

// Trim removes the segments that end at or before the given position, except the last segment.
// State that the owner needs from them must be durable elsewhere first.
func (l *Log) Trim(before Position) error {
	l.fileToken <- struct{}{}
	defer l.releaseFileToken()
	for {
		s, err := l.takeOldest(before)
		if err != nil || s == nil {
			return err
		}
		if err := l.o.FS.Remove(s.name()); err != nil {
			l.putBack(s)
			return fmt.Errorf("trim log: %w", err)
		}
		// Sync after each removal: a crash must not leave an older segment without its successor.
		if err := l.o.FS.SyncDir(s.dir); err != nil {
			return l.setFailed(fmt.Errorf("trim log: %w", err))
		}
	}
}

// takeOldest takes the oldest segment out of the log, or returns nil if it must stay.
func (l *Log) takeOldest(before Position) (*segment, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	s := l.segs[0]
	if len(l.segs) == 1 || s.state != sealed || s.end > before {
		return nil, nil
	}
	l.segs = append([]*segment(nil), l.segs[1:]...)
	return s, nil
}

func (l *Log) putBack(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segs = append([]*segment{s}, l.segs...)
}

// TrimClosed removes the oldest segments of a log that is not open, until enough returns true for
// the remaining size and the freed bytes. It returns the number of removed segments. It never
// removes the last segment. Before it removes a segment, it passes the head of the next one to
// good, and it ends with the error if good returns one: that head will be the only record of the
// removed history. The error is ErrLocked if a Log has the directory open, and a
// *fileversion.VersionError if a later version has written to the log. Only FS, Dir and CheckHead of
// the options are used.
func TrimClosed(o Options, enough func(size, freed int64) bool, good func(head []byte) error) (segments int, err error) {
	lock, err := lockExisting(o)
	if err == nil {
		defer lock.Close()
		r := recovery{o: o}
		segments, err = r.trim(enough, good)
	}
	if err != nil {
		err = fmt.Errorf("trim log %s: %w", o.Dir, err)
	}
	return segments, err
}

// lockExisting locks the directory of a log. It does not make the directory.
func lockExisting(o Options) (io.Closer, error) {
	if _, err := o.FS.ReadDir(o.Dir); err != nil {
		return nil, err
	}
	return o.FS.Lock(o.Dir)
}

// trim is TrimClosed; the caller holds the lock.
func (r *recovery) trim(enough func(size, freed int64) bool, good func(head []byte) error) (segments int, err error) {
	if err := r.refuseNewer(); err != nil {
		return 0, err
	}
	_, _, underWay, err := r.readCut()
	if err != nil {
		return 0, err
	}
	aside, _, err := findAside(r.o.FS, asideDir(r.o.Dir))
	if err != nil {
		return 0, err
	}
	if underWay || len(aside) > 0 {
		return 0, errors.New("the log is damaged: open it first, so that it is repaired")
	}
	if err := r.find(); err != nil {
		return 0, err
	}
	size, freed := int64(0), int64(0)
	for _, s := range r.segs {
		size += s.size
	}
	for i := 0; i+1 < len(r.segs) && !enough(size, freed); i++ {
		s, next := r.segs[i], r.segs[i+1]
		err := r.withFile(next.segment, func(f File) error {
			head, err := readHead(f, next.segment)
			if err == nil {
				err = good(head)
			}
			return err
		})
		if err != nil {
			return segments, fmt.Errorf("head of %s: %w", next.name(), err)
		}
		if err := r.o.FS.Remove(s.name()); err != nil {
			return segments, err
		}
		if err := r.o.FS.SyncDir(r.o.Dir); err != nil {
			return segments, err
		}
		size, freed = size-s.size, freed+s.size
		segments++
	}
	return segments, nil
}
