package servercore

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// An outbox is the output that waits to be written: control frames, tasks to run between them, and
// unlogged messages.
type outbox struct {
	control       []byte
	tasks         []outboxTask
	unlogged      []*unloggedMessage
	unloggedBytes int // memory of unlogged
	controlBytes  int // memory of control and tasks
}

// An outboxTask is a function that the writer runs after it has written the control frames queued
// before it.
type outboxTask struct {
	at int // offset in control
	do func(now time.Time)
}

// addFrame queues a control frame and returns how much memory that takes, in bytes: twice the
// growth of the buffer, because the buffer is copied when it grows and again when it is written.
func (b *outbox) addFrame(a *wire.AckMessage) int {
	had := cap(b.control)
	b.control = a.AppendTo(b.control)
	more := 2 * (cap(b.control) - had)
	b.controlBytes += more
	return more
}

// addTask queues a task after the frames queued so far and returns its memory in bytes.
func (b *outbox) addTask(do func(now time.Time)) int {
	b.tasks = append(b.tasks, outboxTask{len(b.control), do})
	b.controlBytes += taskBytes
	return taskBytes
}

// addUnlogged queues an unlogged message and returns its memory in bytes.
func (b *outbox) addUnlogged(m *unloggedMessage) int {
	b.unlogged = append(b.unlogged, m)
	b.unloggedBytes += m.size()
	return m.size()
}

// size returns the memory of the outbox in bytes.
func (b *outbox) size() int { return b.controlBytes + b.unloggedBytes }

func (b *outbox) empty() bool { return len(b.control)+len(b.tasks)+len(b.unlogged) == 0 }

// keepFrom drops everything except the unlogged messages from index i on.
func (b *outbox) keepFrom(i int) {
	for _, m := range b.unlogged[:i] {
		b.unloggedBytes -= m.size()
	}
	clear(b.tasks)
	b.control, b.tasks, b.unlogged = b.control[:0], b.tasks[:0], slices.Delete(b.unlogged, 0, i)
}

// reset empties the outbox. It keeps the memory for reuse unless that is too much.
func (b *outbox) reset() {
	b.keepFrom(len(b.unlogged))
	b.controlBytes = 0
	if cap(b.control) > fillBytes {
		b.control = nil
	}
}
