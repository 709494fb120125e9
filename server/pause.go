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

// watchStates logs what nothing else tells: times in which this process did not run, and
// subscriptions that fall behind.
func (s *Server) watchStates() {
	ticker := time.NewTicker(pauseTick)
	defer ticker.Stop()
	var slow slowWatch
	pauses, slowAt := pauseWatch{last: time.Now()}, time.Now()
	for {
		select {
		case <-ticker.C:
			now := time.Now()
			if pause := pauses.tick(now); pause > 0 {
				s.log.Warn("this process did not run for a time: it was stopped, or the machine is overloaded", "duration", pause)
			}
			if now.Sub(slowAt) >= slowCheck {
				slowAt = now
				s.logSlow(&slow)
			}
		case <-s.stopping:
			return
		}
	}
}
