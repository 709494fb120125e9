package client_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// group accepts the next logon as a server of a group.
func (s *script) group(have uint64, cluster string, incarnation uint64, lost ...wire.Span) (*session, *wire.Message) {
	s.t.Helper()
	ss := s.accept()
	m := ss.expect(wire.Logon)
	ss.ack(wire.AckMessage{
		CommandID: "0", ClientName: "me", Type: wire.AckProcessed, Success: true, HasSequence: true, Bookmark: "7|0|",
		Ext: true, Have: have, Max: limit, Cluster: cluster, Incarnation: incarnation, Lost: lost,
	})
	return ss, m
}

// A client does not go back to a server that its group has left behind, and its store remembers
// this across a restart (R10). The client reports lost messages (R4).
func TestOldIncarnation(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		store := pubstore.NewMemory(pubstore.MemoryOptions{})
		a, b := listen(t, n, "a"), listen(t, n, "b")
		cfg := config(n, "a", "b")
		cfg.PublishStore = store
		var lost []client.LostError
		cfg.Hooks.Lost = func(e *client.LostError) { lost = append(lost, *e) }
		c := start(t, cfg)
		sa, m := a.group(0, "c1", 1, wire.Span{From: 2, To: 7}, wire.Span{From: 9, To: 9})
		if len(m.Cluster) > 0 || m.Incarnation != 0 {
			t.Errorf("a new store has met %q %d", m.Cluster, m.Incarnation)
		}
		synctest.Wait()
		if len(lost) != 2 || lost[0] != (client.LostError{Publisher: 7, From: 2, To: 7}) || lost[1].From != 9 || lost[1].To != 9 {
			t.Errorf("reported %v", lost)
		}
		if cluster, incarnation := store.Group(); cluster != "c1" || incarnation != 1 {
			t.Errorf("the store has met %q %d", cluster, incarnation)
		}
		sa.close()

		sb, m := b.group(0, "c1", 0) // the group has left it behind
		if string(m.Cluster) != "c1" || m.Incarnation != 1 {
			t.Errorf("the logon states %q %d", m.Cluster, m.Incarnation)
		}
		if m := sb.next(); m != nil {
			t.Fatalf("the client sent %v to a server that was left behind", m.Command)
		}
		sa = a.accept()
		sa.expect(wire.Logon)
		sa.ack(wire.AckMessage{CommandID: "0", Type: wire.AckProcessed, Reason: wire.ReasonIncarnation}) // the server refuses by itself
		sa.close()
		sb, _ = b.group(0, "c2", 0) // another group
		publish(t, c, 1)
		sb.expectPublishes(1)
		synctest.Wait()
		if st := c.Stats(); !errors.Is(st.LastFailure, client.ErrOldIncarnation) {
			t.Errorf("the last failure is %v", st.LastFailure)
		}
		if cluster, incarnation := store.Group(); cluster != "c2" || incarnation != 0 {
			t.Errorf("the store has met %q %d", cluster, incarnation)
		}
	})
}
