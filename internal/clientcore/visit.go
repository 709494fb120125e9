package clientcore

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// AgainSpacing is how long former lives are not offered again, at least.
const AgainSpacing = 10 * time.Second

// Those that nothing says anything new of, as they were refused as a gap or as
// no acks come, wait this long, twice as long each time, up to a bound.
const (
	laterSpacing    = 30 * time.Second
	maxLaterSpacing = 4 // doublings
)

// A Visit is the order in which a client logs on to one server with the lives
// of its store: former ones first, each in a logon of its own, until it is
// settled there or refused, as a gap or as another publisher's (R10).
type Visit struct {
	offered []string
	unsafe  []string // of these, settled here but not safe
	again   int      // how often all of it was begun again
}

// Next returns the life to log on with. old: it is a former one.
func (v *Visit) Next(lives []pubstore.Life) (l pubstore.Life, old bool) {
	last := len(lives) - 1
	for _, l := range lives[:last] {
		if l.Kept > 0 && !slices.Contains(v.offered, l.ID) {
			return l, true
		}
	}
	return lives[last], false
}

// Settled notes that a former life was settled here. refused says that it was
// not taken.
func (v *Visit) Settled(life string, refused bool) {
	v.offered = append(v.offered, life)
	if !refused {
		v.unsafe = append(v.unsafe, life)
	}
}

// StartOver begins all of it again.
func (v *Visit) StartOver() { *v = Visit{again: v.again + 1} }

// Unsafe reports whether a former life was settled here that is not
// known to be safe.
func (v *Visit) Unsafe() bool { return len(v.unsafe) > 0 }

// Due reports whether a former life is to be offered again, so long after the
// connection began: one that was settled here, now that acks come without
// single, and one that was refused as a gap, which the server may have filled
// in the meantime. Acks come only where something waits for them: if nothing
// of the new life does, the settled one has to be offered to find out.
func (v *Visit) Due(lives []pubstore.Life, inSync bool, since time.Duration) bool {
	last := len(lives) - 1
	idle := lives[last].Kept == 0
	later := since >= laterSpacing<<min(v.again, maxLaterSpacing)
	for _, l := range lives[:last] {
		switch {
		case l.Kept == 0:
		case slices.Contains(v.unsafe, l.ID):
			if inSync && since >= AgainSpacing || idle && later {
				return true
			}
		case slices.Contains(v.offered, l.ID):
			if later {
				return true
			}
		}
	}
	return false
}
