package clientcore

import "github.com/holdfast-mq/holdfast/internal/mut"

// How a client behaves that was told that its name is in use (R11), in nanoseconds.
const (
	nameWait     = 5_000_000_000
	nameWaitMost = 60_000_000_000
)

// A NameRule keeps two processes of one name from pushing each other out all the
// time: the one that is told waits, and each time longer, until it has not been
// told for a while. It never gives up, since anybody may have used the name.
type NameRule struct {
	told int64 // when, last
	wait int64 // then; 0: never
}

// InUse notes that the name is in use at a time. It returns the least time to wait.
func (r *NameRule) InUse(now int64) (wait int64) {
	if mut.On(mut.R11NameNotGrowing) || r.wait == 0 || now-r.told > r.wait+nameWaitMost {
		r.wait = nameWait
	} else {
		r.wait = min(2*r.wait, nameWaitMost)
	}
	r.told = now
	return r.wait
}
