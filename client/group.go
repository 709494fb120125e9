package client

import (
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A LostError reports that messages were acknowledged as safe and are lost. The operator of the
// servers has declared this, because no remaining instance has them (R4). The client continues
// after them.
type LostError struct {
	Publisher uint64 // id of the publisher, as in bookmarks
	From, To  uint64 // sequences, both included
}

func (e *LostError) Error() string {
	return fmt.Sprintf("messages %d to %d of publisher %d were acknowledged and are lost", e.From, e.To, e.Publisher)
}

// A groupStore is the part of both stores that remembers the group of servers (R10).
type groupStore interface {
	Group() (cluster string, incarnation uint64)
	SetGroup(cluster string, incarnation uint64) error
}

// A group is the client's knowledge of its servers' group. It belongs to the session goroutine.
type group struct {
	cluster     string // seen by this process
	incarnation uint64
	stores      [2]groupStore // the publish store and the bookmark store
}

// check refuses a server that its group has left behind.
func (g *group) check(m *wire.Message) error {
	seen := uint64(0)
	if g.cluster == string(m.Cluster) {
		seen = g.incarnation
	}
	for _, s := range g.stores {
		if cluster, incarnation := s.Group(); cluster == string(m.Cluster) {
			seen = max(seen, incarnation)
		}
	}
	if m.IsExt() && seen > m.Incarnation && !failpoint.On(failpoint.R10OldIncarnation) {
		return fmt.Errorf("%w: its incarnation %d is older than %d", ErrOldIncarnation, m.Incarnation, seen)
	}
	return nil
}

// noteGroup records the group of a server that has accepted a logon. The stores record it only
// after the losses were reported to the application. If former is true, the logon was for a former
// life, and the logon for the present life follows; then the stores record nothing yet.
func (c *Client) noteGroup(m *wire.Message, former bool) error {
	lost, err := wire.ParseSpans(m.Lost)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", clientcore.ErrProtocol, err)
	case !m.IsExt():
		return nil
	}
	b, _ := bookmark.Parse(m.Bookmark)
	cluster, incarnation := string(m.Cluster), m.Incarnation
	c.group.cluster, c.group.incarnation = cluster, incarnation
	c.events.post(func() {
		for _, l := range lost {
			c.reportLost(&LostError{Publisher: b.Publisher, From: l.From, To: l.To})
		}
		for _, s := range c.group.stores {
			known, seen := s.Group()
			if former || known == cluster && seen == incarnation {
				continue
			}
			if err := s.SetGroup(cluster, incarnation); err != nil {
				c.abort(fmt.Errorf("store the group of the servers: %w", err))
				return
			}
		}
	})
	return nil
}

func (c *Client) reportLost(e *LostError) {
	c.cfg.Logger.Error("LOST: acknowledged messages are lost, as the operator of the servers has declared", "publisher", e.Publisher, "first", e.From, "last", e.To)
	callHook(c.cfg.Hooks.Lost, e)
}
