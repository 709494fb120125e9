package client

import (
	"sync"
	"sync/atomic"
)

// calls counts the calls under way of a kind that is shut one day. It is a
// counter rather than a lock: every publish passes here twice.
type calls struct {
	state atomic.Int64 // how many are under way; with callsShut once no more may begin
	once  sync.Once
	quiet chan struct{} // closed when it is shut and none is under way
}

const callsShut = 1 << 62

func newCalls() *calls { return &calls{quiet: make(chan struct{})} }

// enter counts a call, to be followed by leave, or returns false.
func (c *calls) enter() bool {
	if c.state.Add(1) < callsShut {
		return true
	}
	c.leave()
	return false
}

func (c *calls) leave() {
	if c.state.Add(-1) == callsShut {
		c.once.Do(func() { close(c.quiet) })
	}
}

// shut lets no more calls begin. It may be called again.
func (c *calls) shut() {
	c.state.Add(1) // as a call, so that the last one to leave may be this
	c.state.Or(callsShut)
	c.leave()
}
