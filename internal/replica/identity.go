package replica

import (
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// otherPublisher refuses a peer that has another publisher under an id that is
// known here (R10), as it does differing content: nothing that one side says of
// the id may count for the other.
func (c *conn) otherPublisher(publisher uint64, check bookmark.Check) error {
	if check == (bookmark.Check{}) {
		return nil
	}
	if ours, _ := c.l.o.Journal.State(publisher); !bookmark.Mistaken(ours.Check, check) {
		return nil
	}
	c.l.o.Log.Error("DIVERGED: a peer has another publisher under the same id", "peer", c.theirs.Name, "publisher", publisher)
	return &RefusedError{Code: refuseDiffers, Reason: fmt.Sprintf("%d is another publisher here", publisher)}
}

// otherPublishers does the same for all that the peer's hello names.
func (c *conn) otherPublishers() error {
	for _, s := range c.theirs.States {
		if err := c.otherPublisher(s.Publisher, s.Check); err != nil {
			return err
		}
	}
	return nil
}
