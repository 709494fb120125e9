//go:build failpoint

package replica

import (
	"sync"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// runBuffer is the key of a planted bug's state: the highest sequences that came over the links of an
// instance.
type came struct {
	links     *Links
	publisher uint64
}

var foreign sync.Map // uint64 by came

// camePlanted notes that a message came over a link.
func (l *Links) camePlanted(publisher, sequence uint64) {
	if failpoint.On(failpoint.R2OwnOnly) {
		foreign.Store(came{l, publisher}, sequence)
	}
}

// foreignPlanted reports whether a message is left out because it came over a link.
func (l *Links) foreignPlanted(publisher, sequence uint64) bool {
	last, is := foreign.Load(came{l, publisher})
	return is && last.(uint64) >= sequence
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
