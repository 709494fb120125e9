package clientcore

import "github.com/holdfast-mq/holdfast/internal/failpoint"

// A Steady measures for how long a condition has been true without interruption. Times are in
// nanoseconds with any origin. In the zero value the condition was never true.
type Steady struct {
	holds bool
	since int64
}

// Set records whether the condition is true at the time now.
func (s *Steady) Set(holds bool, now int64) {
	if holds && !s.holds {
		s.since = now
	}
	s.holds = holds
}

// For reports whether the condition has been true for d.
func (s *Steady) For(d, now int64) bool {
	return s.holds && now-s.since >= d || failpoint.On(failpoint.FailBackBlind)
}
