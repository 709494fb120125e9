package clientcore

import "github.com/holdfast-mq/holdfast/internal/failpoint"

// Delays of a client that was told that its name is in use (R11), in nanoseconds.
const (
	nameWait     = 5_000_000_000
	nameWaitMost = 60_000_000_000
)

// A NameRule keeps two processes with the same client name from ending each other's sessions
// all the time. A process that is told that its name is in use waits, and each time longer.
// After a quiet period the wait is short again. The process never gives up, since anybody may
// have used the name.
type NameRule struct {
	told int64 // time of the last InUse
	wait int64 // wait returned at that time; 0: InUse was never called
}

// InUse records that the name is in use at the time now, and returns the least time to wait.
func (r *NameRule) InUse(now int64) (wait int64) {
	if failpoint.On(failpoint.R11NameNotGrowing) || r.wait == 0 || now-r.told > r.wait+nameWaitMost {
		r.wait = nameWait
	} else {
		r.wait = min(2*r.wait, nameWaitMost)
	}
	r.told = now
	return r.wait
}
