package clientcore

import "github.com/holdfast-mq/holdfast/internal/failpoint"

// Delays of a client that was told that its name is in use (R11), in nanoseconds.
const (
	minNameDelay = 5_000_000_000
	maxNameDelay = 60_000_000_000
)

// A NameBackoff keeps two processes with the same client name from ending each other's sessions
// all the time. A process that is told that its name is in use waits, and each time longer.
// After a quiet period the wait is short again. The process never gives up, since anybody may
// have used the name.
type NameBackoff struct {
	inUseAt int64 // time of the last InUse
	delay   int64 // wait returned at that time; 0: InUse was never called
}

// InUse records that the name is in use at the time now, and returns the least time to wait.
func (r *NameBackoff) InUse(now int64) (wait int64) {
	if failpoint.On(failpoint.R11NameNotGrowing) || r.delay == 0 || now-r.inUseAt > r.delay+maxNameDelay {
		r.delay = minNameDelay
	} else {
		r.delay = min(2*r.delay, maxNameDelay)
	}
	r.inUseAt = now
	return r.delay
}
