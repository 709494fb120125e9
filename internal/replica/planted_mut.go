//go:build mut

package replica

import (
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// planted is the state of planted bugs, guarded by Links.mu.
type planted struct {
	foreign bookmark.Vector // highest sequences that came over links
}

// camePlanted notes that r came over a link.
func (l *Links) camePlanted(r *journal.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.foreign == nil {
		l.foreign = make(bookmark.Vector)
	}
	l.foreign[r.Publisher] = max(l.foreign[r.Publisher], r.Sequence)
}

// foreignPlanted reports whether r is left out because it came over a link.
func (l *Links) foreignPlanted(r *journal.Record) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return mut.On(mut.R2OwnOnly) && l.foreign[r.Publisher] >= r.Sequence
}

// ackPlanted acknowledges records that came from the peer and are not durable.
func (c *conn) ackPlanted() {
	if !mut.On(mut.R2AckOnReceipt) {
		return
	}
	c.l.mu.Lock()
	for _, b := range c.moved {
		c.ackLocked(b)
	}
	c.l.mu.Unlock()
	c.out.Wake()
}
