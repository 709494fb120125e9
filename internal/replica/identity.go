package replica

import "github.com/holdfast-mq/holdfast/internal/bookmark"

// isOther reports whether a peer has another publisher under an id that is known
// here (R10). Two of them are one that has diverged, from its first number on:
// nothing that one side says of the id may count for the other.
func (c *conn) isOther(publisher uint64, check bookmark.Check) bool {
	if check == (bookmark.Check{}) {
		return false
	}
	ours, _ := c.l.o.Journal.State(publisher)
	return bookmark.Mistaken(ours.Check, check)
}
