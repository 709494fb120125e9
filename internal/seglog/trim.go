package seglog

import "fmt"

// Trim removes the segments that end at or below before. The last segment
// stays. What the owner needs to remember of them must be durable already.
func (l *Log) Trim(before Position) error {
	l.turn <- struct{}{}
	defer l.passTurn()
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
