package pubstore

import (
	"slices"

	"github.com/holdfast-mq/holdfast/internal/signal"
)

// A line is the Appends that wait for room, first come, first served. Its
// owner's mutex guards it. Invariant: whoever stands first has been woken
// since room was last made.
type line struct{ turns []*turn }

// A turn is one place in the line. It is woken when it is worth looking again.
type turn struct{ wake signal.Signal }

// join takes the last place.
func (l *line) join() *turn {
	t := &turn{signal.New()}
	l.turns = append(l.turns, t)
	return t
}

func (l *line) first(t *turn) bool { return l.turns[0] == t }

// leave gives up a place, served or not, and wakes whoever is first now: what
// is left of the room may be enough.
func (l *line) leave(t *turn) {
	i := slices.Index(l.turns, t)
	l.turns = slices.Delete(l.turns, i, i+1)
	l.wake()
}

// wake tells the first in line that there is more room.
func (l *line) wake() {
	if len(l.turns) > 0 {
		l.turns[0].wake.Set()
	}
}

// wakeAll tells everyone that the store ended.
func (l *line) wakeAll() {
	for _, t := range l.turns {
		t.wake.Set()
	}
}
