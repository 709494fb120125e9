package server_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// newSyncStates waits for d and returns the sync statuses that an extended client got since the
// last call.
func (c *raw) newSyncStates(d time.Duration) []string {
	c.t.Helper()
	c.wantSilence(d)
	states := c.syncStates
	c.syncStates = nil
	return states
}

func wantSyncStates(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// An extended client gets the sync status of its server at the logon and on each change: the peer
// is away, is downgraded, is back and has everything. A plain client gets none.
func TestSyncStatusIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.DowngradeAfter(2*time.Second))
		plain, p := dial(t, pair.A), dial(t, pair.A)
		plain.logon("plain")
		p.awaitLink(pair.A)
		ack, _ := p.logonExt("gw", "life", 1, 0)
		if string(ack.Instance) != "a" || string(ack.Peers) != "b" || string(ack.Sync) != syncstatus.InSync.String() {
			t.Errorf("logon ack: instance %q, peers %q, sync %q", ack.Instance, ack.Peers, ack.Sync)
		}
		pair.B.Kill()
		wantSyncStates(t, "b is dead", p.newSyncStates(time.Minute), syncstatus.Apart.String())
		if got := pair.A.Server().Status().Sync; got != syncstatus.Apart {
			t.Errorf("the status says %q", got)
		}
		p.publish("orders", 1, 1)
		p.awaitPersisted(1, "single")
		wantSyncStates(t, "a message has waited", p.newSyncStates(time.Minute), syncstatus.Single.String())
		pair.B.Restart()
		p.awaitLink(pair.A)
		p.awaitPersisted(1, "")
		wantSyncStates(t, "b is back", p.newSyncStates(time.Minute), syncstatus.InSync.String())
		if len(plain.newSyncStates(time.Second)) > 0 {
			t.Error("a plain client got a sync status")
		}

		began := time.Now()
		pair.A.Close()
		wantSyncStates(t, "a stops", syncStatesUntilClose(p), syncstatus.Stopping.String())
		if d := time.Since(began); d > time.Second {
			t.Errorf("the stop took %v", d)
		}
	})
}

// syncStatesUntilClose returns the sync statuses that a client got before the server closed.
func syncStatesUntilClose(c *raw) []string {
	c.t.Helper()
	c.wantClosed()
	return c.syncStates
}

// A link that comes and goes does not flood clients: they get at most one state per second, and
// finally the true one.
func TestSyncStatusFlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		p := dial(t, pair.A)
		p.awaitLink(pair.A)
		p.logonExt("gw", "life", 1, 0)
		p.newSyncStates(10 * time.Second)
		const flaps = 100
		began := time.Now()
		for range flaps {
			testdoor.Part[*memnet.Network](pair).Reset("a", "b")
			p.wantSilence(200 * time.Millisecond) // except for sync statuses
		}
		took := time.Since(began)
		p.wantSilence(10 * time.Second)
		n := len(p.syncStates)
		if most := int(took/time.Second) + 2; n == 0 || n > most {
			t.Errorf("got %d states in %v with %d flaps, want %d at most", n, took, flaps, most)
		}
		if n > 0 && p.syncStates[n-1] != syncstatus.InSync.String() {
			t.Errorf("got %q at the end", p.syncStates[n-1])
		}
	})
}

// The sync statuses of an instance without a sync destination, and of a lone one.
func TestSyncStatusWithoutPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := dial(t, servertest.New(t))
		if ack, _ := p.logonExt("gw", "life", 1, 0); string(ack.Sync) != syncstatus.Alone.String() || ack.Peers == nil || len(ack.Peers) > 0 {
			t.Errorf("a lone instance says %q, peers %q", ack.Sync, ack.Peers)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.Config(func(c *server.Config) {
			c.Replication.Destinations[0].Ack = "async"
		}))
		p := dial(t, pair.A)
		if ack, _ := p.logonExt("gw", "life", 1, 0); string(ack.Sync) != syncstatus.Async.String() || len(ack.Peers) > 0 {
			t.Errorf("one with asynchronous links only says %q, peers %q", ack.Sync, ack.Peers)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.Unstarted())
		pair.A.Restart()
		pair.A.AwaitReady()
		p := dial(t, pair.A)
		if ack, _ := p.logonExt("gw", "life", 1, 0); string(ack.Sync) != syncstatus.CatchingUp.String() {
			t.Errorf("one that waits for its peer says %q", ack.Sync)
		}
		pair.B.Restart()
		wantSyncStates(t, "caught up", p.newSyncStates(time.Minute), syncstatus.InSync.String())
	})
}
