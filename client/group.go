package client

import (
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A LostError tells that messages were acknowledged as safe and are lost: the
// operator of the servers has declared so, since no instance that is left has them
// (R4). The client goes on behind them.
type LostError struct {
	Publisher   uint64 // the id of the publisher, as in bookmarks
	First, Last uint64 // sequences, both included
}

func (e *LostError) Error() string {
	return fmt.Sprintf("messages %d to %d of publisher %d were acknowledged and are lost", e.First, e.Last, e.Publisher)
}

// A memory is a store that keeps which group of servers it has met (R10).
type memory interface {
	Met() (cluster string, incarnation uint64)
	Meet(cluster string, incarnation uint64) error
}

// A group is what the client knows of its servers' group. It belongs to the session
// goroutine.
type group struct {
	cluster     string // of the present process
	incarnation uint64
	stores      []memory // that keep it, those that can
}

// Met implements memory for stores that can't.
func (g *group) Met() (cluster string, incarnation uint64) { return g.cluster, g.incarnation }

func (g *group) Meet(cluster string, incarnation uint64) error {
	g.cluster, g.incarnation = cluster, incarnation
	return nil
}

// newGroup returns what the stores know.
func newGroup(stores ...any) *group {
	g := new(group)
	for _, s := range stores {
		if m, can := s.(memory); can {
			g.stores = append(g.stores, m)
		}
	}
	return g
}

// check refuses a server that its group has left behind.
func (g *group) check(m *wire.Message) error {
	for _, s := range append([]memory{g}, g.stores...) {
		cluster, seen := s.Met()
		if m.IsExt() && cluster == string(m.Cluster) && seen > m.Incarnation && !mut.On(mut.R10OldIncarnation) {
			return fmt.Errorf("%w: it is of incarnation %d, and %d was seen", ErrOldIncarnation, m.Incarnation, seen)
		}
	}
	return nil
}

// stated returns what the logon says of the publish store.
func (c *Client) stated() (cluster string, incarnation uint64) {
	if m, can := c.store.(memory); can {
		return m.Met()
	}
	return c.group.Met()
}

// meet takes in the group of a server that has accepted a logon. The stores keep it
// once the application knows what is lost. former: the logon was one of a former
// life, and that of the present one is still to come.
func (c *Client) meet(m *wire.Message, former bool) error {
	lost, err := wire.ParseSpans(m.Lost)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", clientcore.ErrProtocol, err)
	case !m.IsExt():
		return nil
	}
	b, _ := bookmark.Parse(m.Bookmark)
	cluster, incarnation := string(m.Cluster), m.Incarnation
	_ = c.group.Meet(cluster, incarnation) // in memory
	c.events.post(func() {
		for _, l := range lost {
			c.tellLost(&LostError{Publisher: b.Publisher, First: l.From, Last: l.To})
		}
		for _, s := range c.group.stores {
			had, seen := s.Met()
			if former || had == cluster && seen == incarnation {
				continue
			}
			if err := s.Meet(cluster, incarnation); err != nil {
				c.fail(fmt.Errorf("keep the group of the servers: %w", err))
				return
			}
		}
	})
	return nil
}

func (c *Client) tellLost(e *LostError) {
	c.cfg.Logger.Error("acknowledged messages are lost", "publisher", e.Publisher, "first", e.First, "last", e.Last)
	tell(c.cfg.Hooks.Lost, e)
}
