package clientcore

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// ReofferInterval is the minimum time before former lives are offered again.
const ReofferInterval = 10 * time.Second

// The interval for former lives of which the client learns nothing new, because they were
// refused as a gap or because no acks come. It doubles each time, up to a limit.
const (
	idleReofferInterval = 30 * time.Second
	maxReofferDoublings = 4
)

// A Visit is the order in which a client logs on to one server with the lives of its store.
// Former lives come first, each in a logon of its own. A former life is done when it is
// settled, or when the server has refused it: as a gap, as diverged, or because another
// publisher has its id (R10).
type Visit struct {
	offered  []string
	unsafe   []string // lives that are settled here and not known to be safe
	restarts int
}

// Next returns the life for the next logon, and whether it is a former life.
func (v *Visit) Next(lives []pubstore.Life) (l pubstore.Life, former bool) {
	last := len(lives) - 1
	for _, l := range lives[:last] {
		if l.Kept > 0 && !slices.Contains(v.offered, l.ID) {
			return l, true
		}
	}
	return lives[last], false
}

// Done records that a former life is done at this server. refused is true if the server refused
// it.
func (v *Visit) Done(life string, refused bool) {
	v.offered = append(v.offered, life)
	if !refused {
		v.unsafe = append(v.unsafe, life)
	}
}

// StartOver offers all former lives again.
func (v *Visit) StartOver() { *v = Visit{restarts: v.restarts + 1} }

// HasUnsafe reports whether a former life was settled here and is not known to be safe.
func (v *Visit) HasUnsafe() bool { return len(v.unsafe) > 0 }

// ReofferDue reports whether to offer a former life again. age is the time since the connection
// started. inSync is true if acks are safe now, not only single.
//
// A life that was settled here is offered again when acks are safe. Acks come only while
// messages wait for them. If no message of the new life waits, the client finds out only by
// offering the settled life. A life that was refused as a gap is offered again because the
// server may have filled the gap meanwhile.
func (v *Visit) ReofferDue(lives []pubstore.Life, inSync bool, age time.Duration) bool {
	last := len(lives) - 1
	idle := lives[last].Kept == 0
	overdue := age >= idleReofferInterval<<min(v.restarts, maxReofferDoublings)
	for _, l := range lives[:last] {
		switch {
		case l.Kept == 0:
		case slices.Contains(v.unsafe, l.ID):
			if inSync && age >= ReofferInterval || idle && overdue {
				return true
			}
		case slices.Contains(v.offered, l.ID):
			if overdue {
				return true
			}
		}
	}
	return false
}
