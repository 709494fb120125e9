package client_test

import (
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A failBackTest is a client whose chooser prefers a. It is on b because a was away, and then a
// came back.
type failBackTest struct {
	t    *testing.T
	n    *memnet.Network
	c    *client.Client
	a, b *script
	onB  *session
}

func startOnB(t *testing.T, n *memnet.Network, back client.FailBack, status string) *failBackTest {
	f := &failBackTest{t: t, n: n, b: listen(t, n, "b")}
	cfg := config(n)
	cfg.Chooser = client.NewPriority(back, "tcp://a:9007/amps/json", "tcp://b:9007/amps/json")
	f.c = start(t, cfg)
	f.onB = f.b.logonAs("b", status, "a")
	f.onB.expectNothing(time.Minute)
	f.a = listen(t, n, "a")
	return f
}

// expectStays fails the test if the client moves to a within d.
func (f *failBackTest) expectStays(d time.Duration) {
	f.t.Helper()
	f.a.countProbes(d)
	if s := f.c.Stats(); host(s.Server.Server) != "b" || s.State != client.StateLive {
		f.t.Fatalf("it is %v on %s", s.State, s.Server.Server)
	}
}

// acceptMove accepts the client on a and returns the time that the move took.
func (f *failBackTest) acceptMove() (*session, time.Duration) {
	f.t.Helper()
	began := time.Now()
	f.onB.expectClosed()
	took := time.Since(began)
	f.a.accept() // the probe
	return f.a.logonAs("a", syncstatus.InSync.String(), "b"), took
}

func wantTook(t *testing.T, took, want time.Duration) {
	t.Helper()
	if took < want || took > want+2*time.Second {
		t.Errorf("it went after %v, want %v", took, want)
	}
}

func TestFailBackNever(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		f := startOnB(t, n, client.FailBackNever(), syncstatus.InSync.String())
		f.expectStays(time.Hour)
		f.onB.close()
		f.a.logonAs("a", syncstatus.InSync.String(), "b")
	})
}

func TestFailBackAtOnce(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		f := startOnB(t, n, client.FailBackAtOnce(), syncstatus.Apart.String())
		_, took := f.acceptMove()
		wantTook(t, took, 0)
		wantMoves(t, f.c, " to b; not a: lost", "b to a: preferred")
	})
}

// The client goes back at once, but not to a server that is known to lag, as b has reported.
func TestFailBackAtOnceNotToLaggingServer(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		cfg := config(n)
		cfg.Chooser = client.NewPriority(client.FailBackAtOnce(), "tcp://a:9007/amps/json", "tcp://b:9007/amps/json")
		c := start(t, cfg)
		a.logonAs("a", syncstatus.CatchingUp.String(), "b").expectClosed()
		sb := b.logonAs("b", syncstatus.Apart.String(), "a")
		if probes := a.countProbes(time.Minute); probes > 0 {
			t.Errorf("%d probes of a server that lags", probes)
		}
		sb.sendSyncStatus(syncstatus.InSync.String()) // a has caught up
		sb.expectClosed()
		a.accept()
		a.logonAs("a", syncstatus.InSync.String(), "b")
		wantMoves(t, c, " to b; not a: lagging", "b to a: preferred")
	})
}

// If a refuses the client, the client tries less and less often.
func TestFailBackRefused(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		f := startOnB(t, n, client.FailBackAtOnce(), syncstatus.Apart.String())
		for _, most := range []time.Duration{1, 2, 4, 8, 16, 16, 16} {
			began := time.Now()
			f.onB.expectClosed()
			if took := time.Since(began); took > (most+1)*time.Second || took < (most-1)*time.Second {
				t.Errorf("it went after %v, want %v", took, most*time.Second)
			}
			f.a.accept() // the probe
			sa := f.a.accept()
			sa.expect(wire.Logon)
			sa.refuse("publish gap")
			f.onB = f.b.logonAs("b", syncstatus.Apart.String(), "a")
			f.onB.expectNothing(0)
		}
	})
}

// The client goes back once a has had everything for half a minute. It does not while b reports
// that a is away or downgraded, however long a can be reached. After a break the half minute begins
// again.
func TestFailBackInSync(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		f := startOnB(t, n, client.FailBackInSync(30*time.Second), syncstatus.Single.String())
		f.expectStays(10 * time.Minute)
		f.onB.sendSyncStatus(syncstatus.Apart.String())
		f.expectStays(10 * time.Minute)
		for range 20 { // a comes and goes
			f.onB.sendSyncStatus(syncstatus.InSync.String())
			f.expectStays(25 * time.Second)
			f.onB.sendSyncStatus(syncstatus.Apart.String())
			f.expectStays(time.Second)
		}
		f.onB.sendSyncStatus(syncstatus.InSync.String())
		_, took := f.acceptMove()
		wantTook(t, took, 30*time.Second)
		wantMoves(t, f.c, " to b; not a: lost", "b to a: preferred")
	})
}

// The client does not go to a server that cannot be reached, even if b reports it in sync. It does
// not probe the server before it has been in sync for the configured time.
func TestFailBackInSyncAndReachable(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		f := startOnB(t, n, client.FailBackInSync(30*time.Second), syncstatus.Apart.String())
		f.onB.sendSyncStatus(syncstatus.InSync.String())
		if probes := f.a.countProbes(29 * time.Second); probes > 0 {
			t.Errorf("%d probes too early", probes)
		}
		f.a.close()
		f.onB.expectNothing(10 * time.Minute)
		f.a = listen(t, n, "a")
		_, took := f.acceptMove()
		wantTook(t, took, 0)
	})
}

// The client leaves an asynchronous server, which cannot report SyncOK, after the same time. It
// never leaves a server that does not report its state.
func TestFailBackInSyncFromOtherStates(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		f := startOnB(t, n, client.FailBackInSync(2*time.Minute), syncstatus.Async.String())
		_, took := f.acceptMove() // a minute has passed
		wantTook(t, took, time.Minute)
	})
	run(t, func(t *testing.T, n *memnet.Network) {
		f := startOnB(t, n, client.FailBackInSync(30*time.Second), "")
		f.expectStays(time.Hour)
	})
}
