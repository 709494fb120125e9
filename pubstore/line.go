package pubstore

import (
	"slices"

	"github.com/holdfast-mq/holdfast/internal/signal"
)

// A line is the queue of Appends that wait for room, first come, first served. The mutex of its
// owner guards it. Invariant: the first in line has been woken since room was last freed.
type line struct{ turns []*turn }

// A turn is one waiting Append. It is woken when there may be room.
type turn struct{ wake signal.Signal }

// join adds a turn at the end of the line.
func (l *line) join() *turn {
	t := &turn{signal.New()}
	l.turns = append(l.turns, t)
	return t
}

func (l *line) first(t *turn) bool { return l.turns[0] == t }

// leave removes a turn, served or not. It wakes the new first in line, since the remaining room
// may be enough for it.
func (l *line) leave(t *turn) {
	i := slices.Index(l.turns, t)
	l.turns = slices.Delete(l.turns, i, i+1)
	l.wake()
}

// wake tells the first in line that there may be room.
func (l *line) wake() {
	if len(l.turns) > 0 {
		l.turns[0].wake.Set()
	}
}

// wakeAll wakes everyone in line, because the store has ended.
func (l *line) wakeAll() {
	for _, t := range l.turns {
		t.wake.Set()
	}
}
