package servercore

import (
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/histogram"
)

// An ackProbe measures the time from the receipt of one message to its persisted ack. There is one
// probe per session at a time, so a stream of messages costs one measurement for each round of acks.
// The reader's half begins a probe, the writer's half ends it.
type ackProbe struct {
	running  atomic.Bool
	sequence uint64    // of the message; set before running
	since    time.Time // when it was received; set before running
}

// beginProbe begins a probe with a message that is about to be recorded, unless one is running.
func (s *Session) beginProbe(sequence uint64) {
	if p := &s.probe; !p.running.Load() {
		p.sequence, p.since = sequence, s.inst.now()
		p.running.Store(true)
	}
}

// end ends the probe if its message is acknowledged. acked is the highest acknowledged sequence.
func (p *ackProbe) end(acked uint64, now time.Time, h *histogram.Histogram) {
	if p.running.Load() && p.sequence <= acked {
		h.Observe(now.Sub(p.since))
		p.running.Store(false)
	}
}

// Memory returns the memory that all sessions hold, in bytes, and its limit.
func (i *Instance) Memory() (used, limit int64) {
	return i.memory.used.Load(), int64(i.Limits.withDefaults(i.MaxMessage).Memory)
}
