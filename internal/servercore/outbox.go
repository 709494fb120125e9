package servercore

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// An outbox is the output that waits to be written: control frames, steps to do between them, and
// unlogged messages.
type outbox struct {
	control  []byte
	steps    []step
	unlogged []*unloggedMessage
	bytes    int // memory of unlogged
	held     int // memory of control and steps
}

// A step is a function that the writer runs after it has written the control frames queued before.
type step struct {
	at int // offset in control
	do func(now time.Time)
}

// frame queues a control frame and returns how much memory that takes, in bytes: twice the growth
// of the buffer, because the buffer is copied when it grows and again when it is written.
func (b *outbox) frame(a *wire.AckMessage) int {
	had := cap(b.control)
	b.control = a.AppendTo(b.control)
	more := 2 * (cap(b.control) - had)
	b.held += more
	return more
}

// step queues a step behind the frames queued so far and returns its memory in bytes.
func (b *outbox) step(do func(now time.Time)) int {
	b.steps = append(b.steps, step{len(b.control), do})
	b.held += stepBytes
	return stepBytes
}

// message queues an unlogged message and returns its memory in bytes.
func (b *outbox) message(m *unloggedMessage) int {
	b.unlogged = append(b.unlogged, m)
	b.bytes += m.size()
	return m.size()
}

// size returns the memory of the outbox in bytes.
func (b *outbox) size() int { return b.held + b.bytes }

func (b *outbox) empty() bool { return len(b.control)+len(b.steps)+len(b.unlogged) == 0 }

// keep drops everything except the unlogged messages from index i on.
func (b *outbox) keep(i int) {
	for _, m := range b.unlogged[:i] {
		b.bytes -= m.size()
	}
	clear(b.steps)
	b.control, b.steps, b.unlogged = b.control[:0], b.steps[:0], slices.Delete(b.unlogged, 0, i)
}

// reset empties the outbox. It keeps the memory for reuse unless that is too much.
func (b *outbox) reset() {
	b.keep(len(b.unlogged))
	b.held = 0
	if cap(b.control) > fillBytes {
		b.control = nil
	}
}
