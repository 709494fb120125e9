//go:build failpoint

package client

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// plantedWait is a planted bug: the reader waits for room in a queue.
func plantedWait(cn *conn) bool {
	if !failpoint.On(failpoint.R12ReaderWaits) {
		return false
	}
	select {
	case <-time.After(time.Millisecond):
		return true
	case <-cn.ctx.Done():
		return false
	}
}

// plantedSend is a planted bug: it sends a message that the store does not have yet.
func (c *Client) plantedSend(m *pubstore.Message) {
	cn, lives := c.connected(), c.store.Lives()
	if !failpoint.On(failpoint.G1SendBeforeStore) || cn == nil || len(lives) == 0 {
		return
	}
	p := wire.PublishCommand{Topic: m.Topic, Sequence: lives[len(lives)-1].Last + 1, Body: m.Body}
	cn.queueCommand(p.AppendTo)
}

// plantedDrop is a planted bug: it removes messages from the store when a call no longer waits for
// them.
func (c *Client) plantedDrop(goals []goal) {
	if !failpoint.On(failpoint.G1CancelDropsDelivery) {
		return
	}
	for _, g := range goals {
		_ = c.store.Discard(g.life, g.sequence)
	}
}
