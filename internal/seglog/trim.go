package seglog

import (
	"errors"
	"fmt"
	"io"
)

// Trim removes the segments that end at or below before. The last segment
// stays. What the owner needs to remember of them must be durable already.
func (l *Log) Trim(before Position) error {
	l.files <- struct{}{}
	defer l.passFiles()
	for {
		s, err := l.takeOldest(before)
		if err != nil || s == nil {
			return err
		}
		if err := l.o.FS.Remove(s.name()); err != nil {
			l.putBack(s)
			return fmt.Errorf("trim log: %w", err)
		}
		// One by one, so that a crash leaves no hole in the middle.
		if err := l.o.FS.SyncDir(s.dir); err != nil {
			return l.fail(fmt.Errorf("trim log: %w", err))
		}
	}
}

// takeOldest takes the oldest segment out of the log if it may go.
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

// TrimClosed removes the oldest segments of a log that nobody has open, until its
// size and the bytes that were freed are enough. The last segment stays, and so
// does one if good returns an error for the head of the next: that head is all
// that will be known of what was before it. ErrLocked: somebody has the log open.
// A log that a later version has written is left alone (*format.VersionError). Of
// the options FS, Dir and CheckHead count.
func TrimClosed(o Options, enough func(size, freed int64) bool, good func(head []byte) error) (segments int, err error) {
	lock, err := lockThere(o)
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

// lockThere locks the directory of a log, which must be there.
func lockThere(o Options) (io.Closer, error) {
	if _, err := o.FS.ReadDir(o.Dir); err != nil {
		return nil, err
	}
	return o.FS.Lock(o.Dir)
}

// trim is TrimClosed for who holds the lock.
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
		return 0, errors.New("it is damaged, and is to be opened and healed first")
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
