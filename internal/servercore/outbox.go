package servercore

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// maxQueued bounds the control frames and the live messages of an outbox, in
// bytes each. One ack may be longer: it has an entry for each publisher.
const maxQueued = 8 << 20

// An outbox is the output that waits to be written: control frames, steps to do
// between them, and messages that are not logged.
type outbox struct {
	control  []byte
	steps    []step
	unlogged []*unloggedMessage
	bytes    int // of unlogged
}

// A step is to be done by the writer when it has written the control frames before it.
type step struct {
	at int // bytes of control before it
	do func(now time.Time)
}

// frame queues a control frame. False: there are too many of them before it.
func (b *outbox) frame(a *wire.AckMessage) bool {
	if len(b.control) > maxQueued {
		return false
	}
	b.control = a.AppendTo(b.control)
	return true
}

// step queues a step behind the frames queued so far.
func (b *outbox) step(do func(now time.Time)) {
	b.steps = append(b.steps, step{len(b.control), do})
}

// message queues a message that is not logged. False: there are too many of them.
func (b *outbox) message(m *unloggedMessage) bool {
	b.unlogged = append(b.unlogged, m)
	b.bytes += m.size()
	return b.bytes <= maxQueued
}

func (b *outbox) empty() bool { return len(b.control)+len(b.steps)+len(b.unlogged) == 0 }

// reset empties the outbox and keeps its memory, unless that is much.
func (b *outbox) reset() {
	clear(b.steps)
	clear(b.unlogged)
	b.control, b.steps, b.unlogged, b.bytes = b.control[:0], b.steps[:0], b.unlogged[:0], 0
	if cap(b.control) > fillBytes {
		b.control = nil
	}
}
