package client

import (
	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// outcomeUnknown tells the application of the messages one of which a server has
// refused without naming it, where the server now says that it is done with all. It
// runs on the session goroutine.
func (c *Client) outcomeUnknown(b *clientcore.Beginning) error {
	return b.ApplyUnknown(c.store, func(r *clientcore.Rejection, m *pubstore.Message) {
		c.failedWrite(r, m, nil)
	})
}
