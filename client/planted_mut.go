//go:build mut

package client

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// waitsPlanted is a mutation: the reader waits for room in a queue.
func waitsPlanted(cn *conn) bool {
	if !mut.On(mut.R12ReaderWaits) {
		return false
	}
	select {
	case <-time.After(time.Millisecond):
		return true
	case <-cn.ctx.Done():
		return false
	}
}

// sendPlanted is a mutation: it sends a message that the store does not have yet.
func (c *Client) sendPlanted(m *pubstore.Message) {
	cn, lives := c.connected(), c.store.Lives()
	if !mut.On(mut.G1SendBeforeStore) || cn == nil || len(lives) == 0 {
		return
	}
	p := wire.PublishCommand{Topic: m.Topic, Sequence: lives[len(lives)-1].Last + 1, Body: m.Body}
	cn.control(p.AppendTo)
}

// dropPlanted is a mutation: it removes messages from the store when a call no longer waits for
// them.
func (c *Client) dropPlanted(goals []goal) {
	if !mut.On(mut.G1CancelDropsDelivery) {
		return
	}
	for _, g := range goals {
		_ = c.store.Discard(g.life, g.sequence)
	}
}
