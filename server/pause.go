package server

import "time"

const (
	pauseTick    = time.Second
	maxPause     = time.Second // by which a tick may be late without a line
	pauseSpacing = time.Minute // between two lines
)

// A pauseWatch finds times in which this process did not run: it was stopped, its machine was
// suspended, or the processors were overloaded. Timeouts that end then say nothing about peers and
// clients.
type pauseWatch struct {
	last, told time.Time // of the last tick and of the last line
	longest    time.Duration
}

// tick notes a tick. It returns the longest pause since the last line if a line is due, otherwise 0.
func (w *pauseWatch) tick(now time.Time) (pause time.Duration) {
	if late := now.Sub(w.last) - pauseTick; !w.last.IsZero() && late > maxPause {
		w.longest = max(w.longest, late)
	}
	w.last = now
	if w.longest == 0 || !w.told.IsZero() && now.Sub(w.told) < pauseSpacing {
		return 0
	}
	pause, w.longest, w.told = w.longest, 0, now
	return pause
}

// watchPauses logs times in which this process did not run.
func (s *Server) watchPauses() {
	ticker := time.NewTicker(pauseTick)
	defer ticker.Stop()
	w := pauseWatch{last: time.Now()}
	for {
		select {
		case <-ticker.C:
			if pause := w.tick(time.Now()); pause > 0 {
				s.log.Warn("this process did not run for a time: it was stopped, or the machine is overloaded", "duration", pause)
			}
		case <-s.stopping:
			return
		}
	}
}
