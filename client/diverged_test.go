package client_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// If the life of the store has diverged, this is reported once. All messages of the life in the
// store are reported with an unknown outcome and let go, and publishing continues in a new life
// (R11).
func TestDiverged(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a := listen(t, n, "a")
		var reported []error
		var unknown []uint64
		cfg := config(n, "a")
		cfg.Hooks.LifeRenewed = func(err error) { reported = append(reported, err) }
		cfg.Hooks.FailedWrite = func(e *client.RejectedError) {
			if e.Reason == wire.ReasonOutcomeUnknown {
				unknown = append(unknown, e.Message.Sequence)
			}
		}
		c := start(t, cfg)
		ss, m := a.logon(0, 0)
		former := bookmark.IdentityOfLife(string(m.Store)).ID
		publish(t, c, 1, 2, 3)
		ss.expectPublishes(1, 2, 3)
		ss.persisted(1)
		ss.single(2)
		synctest.Wait()
		ss.ack(wire.AckMessage{Type: wire.AckProcessed, Reason: wire.ReasonPublisherDiverged, MessageBookmark: bookmark.Bookmark{Publisher: former, Sequence: 2}})
		ss.expectClosed()
		ss, m = a.logon(0, 0)
		if bookmark.IdentityOfLife(string(m.Store)).ID == former {
			t.Error("no new life")
		}
		publish(t, c, 1)
		ss.expectPublishes(1)
		ss.persisted(1)
		if err := c.FlushSafe(testContext(t)); err != nil {
			t.Error(err)
		}
		var d *client.DivergedError
		if len(reported) != 1 || !errors.Is(reported[0], client.ErrDiverged) || !errors.As(reported[0], &d) || *d != (client.DivergedError{Publisher: former, From: 2}) {
			t.Errorf("reported %v", reported)
		}
		if !slices.Equal(unknown, []uint64{2, 3}) || c.Stats().Publish.Outstanding.Messages != 0 {
			t.Errorf("reported %v, kept %+v", unknown, c.Stats().Publish.Outstanding)
		}
	})
}
