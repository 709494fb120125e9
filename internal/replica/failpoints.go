//go:build failpoint

package replica

import (
	"sync"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// received is the key of a planted bug's state: the highest sequences that the links of an instance
// have received.
type received struct {
	links     *Links
	publisher uint64
}

var foreign sync.Map // uint64 by received

// receivedPlanted notes that a message was received over a link.
func (l *Links) receivedPlanted(publisher, sequence uint64) {
	if failpoint.On(failpoint.R2OwnOnly) {
		foreign.Store(received{l, publisher}, sequence)
	}
}

// leftOutPlanted reports whether a message is not sent because it was received over a link.
func (l *Links) leftOutPlanted(publisher, sequence uint64) bool {
	last, ok := foreign.Load(received{l, publisher})
	return ok && last.(uint64) >= sequence
}

// ackPlanted acknowledges records from the peer before they are durable.
func (c *conn) ackPlanted() {
	if !failpoint.On(failpoint.R2AckOnReceipt) {
		return
	}
	c.l.mu.Lock()
	for _, b := range c.moved {
		c.ackLocked(b)
	}
	c.l.mu.Unlock()
	c.out.Wake()
}
