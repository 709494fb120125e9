package client_test

import (
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A fall is a client with a policy that prefers a, is on b because a is away,
// and sees a come back.
type fall struct {
	t    *testing.T
	n    *memnet.Network
	c    *client.Client
	a, b *script
	onB  *session
}

func falls(t *testing.T, n *memnet.Network, back client.FailBack, standing string) *fall {
	f := &fall{t: t, n: n, b: listen(t, n, "b")}
	cfg := config(n)
	cfg.Chooser = client.NewPriority(back, "tcp://a:9007/amps/json", "tcp://b:9007/amps/json")
	f.c = start(t, cfg)
	f.onB = f.b.introduces("b", standing, "a")
	f.onB.quiet(time.Minute)
	f.a = listen(t, n, "a")
	return f
}

// stays makes sure that the client is not on a within d.
func (f *fall) stays(d time.Duration) {
	f.t.Helper()
	f.a.untouched(d)
	if s := f.c.Stats(); host(s.Server.Server) != "b" || s.State != client.Live {
		f.t.Fatalf("it is %v on %s", s.State, s.Server.Server)
	}
}

// goes accepts the client on a and returns how long that took.
func (f *fall) goes() (*session, time.Duration) {
	f.t.Helper()
	began := time.Now()
	f.onB.gone()
	took := time.Since(began)
	f.a.accept() // the probe
	return f.a.introduces("a", syncstatus.InSync.String(), "b"), took
}

func wantTook(t *testing.T, took, want time.Duration) {
	t.Helper()
	if took < want || took > want+2*time.Second {
		t.Errorf("it went after %v, want %v", took, want)
	}
}

func TestFailBackNever(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		f := falls(t, n, client.FailBackNever(), syncstatus.InSync.String())
		f.stays(time.Hour)
		f.onB.close()
		f.a.introduces("a", syncstatus.InSync.String(), "b")
	})
}

func TestFailBackAtOnce(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		f := falls(t, n, client.FailBackAtOnce(), syncstatus.Apart.String())
		_, took := f.goes()
		wantTook(t, took, 0)
		wantMoves(t, f.c, " to b; not a: lost", "b to a: preferred")
	})
}

// At once, but not to one that is known to lag: b has told so.
func TestFailBackAtOnceButNotToOneThatLags(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		cfg := config(n)
		cfg.Chooser = client.NewPriority(client.FailBackAtOnce(), "tcp://a:9007/amps/json", "tcp://b:9007/amps/json")
		c := start(t, cfg)
		a.introduces("a", syncstatus.CatchingUp.String(), "b").gone()
		sb := b.introduces("b", syncstatus.Apart.String(), "a")
		if probes := a.untouched(time.Minute); probes > 0 {
			t.Errorf("%d probes of a server that lags", probes)
		}
		sb.stands(syncstatus.InSync.String()) // a has caught up
		sb.gone()
		a.accept()
		a.introduces("a", syncstatus.InSync.String(), "b")
		wantMoves(t, c, " to b; not a: lagging", "b to a: preferred")
	})
}

// Refused over there it tries less and less often.
func TestFailBackRefused(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		f := falls(t, n, client.FailBackAtOnce(), syncstatus.Apart.String())
		for _, most := range []time.Duration{1, 2, 4, 8, 16, 16, 16} {
			began := time.Now()
			f.onB.gone()
			if took := time.Since(began); took > (most+1)*time.Second || took < (most-1)*time.Second {
				t.Errorf("it went after %v, want %v", took, most*time.Second)
			}
			f.a.accept() // the probe
			sa := f.a.accept()
			sa.expect(wire.Logon)
			sa.refuse("publish gap")
			f.onB = f.b.introduces("b", syncstatus.Apart.String(), "a")
			f.onB.quiet(0)
		}
	})
}

// Once a has had everything for half a minute: not while b says that it is
// away or left out, however long it can be reached, and after a break the half
// minute begins again.
func TestFailBackInSync(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		f := falls(t, n, client.FailBackInSync(30*time.Second), syncstatus.Single.String())
		f.stays(10 * time.Minute)
		f.onB.stands(syncstatus.Apart.String())
		f.stays(10 * time.Minute)
		for range 20 { // it flaps
			f.onB.stands(syncstatus.InSync.String())
			f.stays(25 * time.Second)
			f.onB.stands(syncstatus.Apart.String())
			f.stays(time.Second)
		}
		f.onB.stands(syncstatus.InSync.String())
		_, took := f.goes()
		wantTook(t, took, 30*time.Second)
		wantMoves(t, f.c, " to b; not a: lost", "b to a: preferred")
	})
}

// A server that can't be reached is not gone to, however well it stands to b;
// and it is not asked for before it has been in sync for so long.
func TestFailBackInSyncAndReachable(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		f := falls(t, n, client.FailBackInSync(30*time.Second), syncstatus.Apart.String())
		f.onB.stands(syncstatus.InSync.String())
		if probes := f.a.untouched(29 * time.Second); probes > 0 {
			t.Errorf("%d probes too early", probes)
		}
		f.a.close()
		f.onB.quiet(10 * time.Minute)
		f.a = listen(t, n, "a")
		_, took := f.goes()
		wantTook(t, took, 0)
	})
}

// From an asynchronous server, which can't tell, after the same time; from one
// that does not say how it stands never.
func TestFailBackInSyncFromOthers(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		f := falls(t, n, client.FailBackInSync(2*time.Minute), syncstatus.Async.String())
		_, took := f.goes() // a minute has passed
		wantTook(t, took, time.Minute)
	})
	run(t, func(t *testing.T, n *memnet.Network) {
		f := falls(t, n, client.FailBackInSync(30*time.Second), "")
		f.stays(time.Hour)
	})
}
