package servercore

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// An outbox is the output that waits to be written: control frames, steps to do
// between them, and messages that are not logged.
type outbox struct {
	control  []byte
	steps    []step
	unlogged []*unloggedMessage
	bytes    int // of unlogged
	held     int // bytes of memory that was taken for control and steps
}

// A step is to be done by the writer when it has written the control frames before it.
type step struct {
	at int // bytes of control before it
	do func(now time.Time)
}

// frame queues a control frame and returns how many bytes of memory that takes: twice
// as many as the buffer grows by, since it is copied then, and again when it is written.
func (b *outbox) frame(a *wire.AckMessage) int {
	had := cap(b.control)
	b.control = a.AppendTo(b.control)
	more := 2 * (cap(b.control) - had)
	b.held += more
	return more
}

// step queues a step behind the frames queued so far, and returns how many bytes it takes.
func (b *outbox) step(do func(now time.Time)) int {
	b.steps = append(b.steps, step{len(b.control), do})
	b.held += stepBytes
	return stepBytes
}

// message queues a message that is not logged and returns how many bytes it takes.
func (b *outbox) message(m *unloggedMessage) int {
	b.unlogged = append(b.unlogged, m)
	b.bytes += m.size()
	return m.size()
}

// size returns how many bytes all of it takes.
func (b *outbox) size() int { return b.held + b.bytes }

func (b *outbox) empty() bool { return len(b.control)+len(b.steps)+len(b.unlogged) == 0 }

// keep keeps the messages from i on, and nothing else.
func (b *outbox) keep(i int) {
	for _, m := range b.unlogged[:i] {
		b.bytes -= m.size()
	}
	clear(b.steps)
	b.control, b.steps, b.unlogged = b.control[:0], b.steps[:0], slices.Delete(b.unlogged, 0, i)
}

// reset empties the outbox and keeps its memory, unless that is much.
func (b *outbox) reset() {
	b.keep(len(b.unlogged))
	b.held = 0
	if cap(b.control) > fillBytes {
		b.control = nil
	}
}
