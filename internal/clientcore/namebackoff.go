package clientcore

import "github.com/holdfast-mq/holdfast/internal/failpoint"

// Delays of a client whose name is in use (R11), in nanoseconds.
const (
	minNameDelay = 5_000_000_000
	maxNameDelay = 60_000_000_000
)

// A NameBackoff keeps two processes with the same client name from ending each other's sessions
// all the time. A process whose name is in use waits, each time longer. After a quiet period the
// delay is short again. The process never gives up, because any process may have used its name.
type NameBackoff struct {
	inUseAt int64 // time of the last call of InUse
	delay   int64 // delay returned then; 0: InUse was never called
}

// InUse records that the name is in use at the time now, and returns the minimum delay before
// the next attempt.
func (b *NameBackoff) InUse(now int64) (delay int64) {
	if failpoint.On(failpoint.R11NameNotGrowing) || b.delay == 0 || now-b.inUseAt > b.delay+maxNameDelay {
		b.delay = minNameDelay
	} else {
		b.delay = min(2*b.delay, maxNameDelay)
	}
	b.inUseAt = now
	return b.delay
}
