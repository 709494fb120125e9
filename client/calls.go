package client

import (
	"sync"
	"sync/atomic"
)

// calls counts the calls under way. Once it is shut it admits no more. It is an atomic counter
// rather than a lock because every publish updates it twice.
type calls struct {
	state atomic.Int64 // number of calls under way, plus callsShut once it is shut
	once  sync.Once
	idle  chan struct{} // closed when it is shut and no call is under way
}

const callsShut = 1 << 62

func newCalls() *calls { return &calls{idle: make(chan struct{})} }

// enter counts a call, which must end with leave. It returns false if calls is shut.
func (c *calls) enter() bool {
	if c.state.Add(1) < callsShut {
		return true
	}
	c.leave()
	return false
}

func (c *calls) leave() {
	if c.state.Add(-1) == callsShut {
		c.once.Do(func() { close(c.idle) })
	}
}

// shut admits no more calls. It may be called again.
func (c *calls) shut() {
	c.state.Add(1) // counts as a call, so that it may be the last one to leave
	c.state.Or(callsShut)
	c.leave()
}
