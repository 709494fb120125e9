package client_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// logonAs accepts the next connection and its logon as an instance with this name, state and
// synchronous peers.
func (s *script) logonAs(name, status, peers string) *session {
	s.t.Helper()
	ss := s.accept()
	ss.expect(wire.Logon)
	ss.ack(wire.AckMessage{
		CommandID: "0", ClientName: "me", Type: wire.AckProcessed, Success: true,
		HasSequence: true, Bookmark: "7|0|", Version: "5.3.5.0.holdfast-test",
		Ext: true, Max: limit, CatchingUp: status == syncstatus.CatchingUp.String(),
		Instance: name, Peers: peers, Sync: status,
	})
	return ss
}

// sendSyncStatus sends the server's sync status to the client.
func (ss *session) sendSyncStatus(status string) {
	ss.ack(wire.AckMessage{Type: wire.AckProcessed, Success: true, Sync: status})
}

// countProbes accepts the connections of probes and returns their number. It fails the test if one
// of them logs on within d.
func (s *script) countProbes(d time.Duration) (probes int) {
	s.t.Helper()
	for end := time.After(d); ; {
		select {
		case ss := <-s.sessions:
			if m := ss.next(); m != nil {
				s.t.Fatalf("the client has sent %v", m.Command)
			}
			probes++
		case <-end:
			return probes
		}
	}
}

// moveTexts formats the client's moves and their reasons.
func moveTexts(c *client.Client) []string {
	var list []string
	for _, m := range c.Stats().Moves {
		text := fmt.Sprintf("%s to %s", host(m.From), host(m.To))
		if m.Err != nil {
			text += ": " + reasonText(m.Err)
		}
		for _, p := range m.Failed {
			text += fmt.Sprintf("; not %s: %s", host(p.Server), reasonText(p.Err))
		}
		list = append(list, text)
	}
	return list
}

func host(server string) string {
	return strings.TrimSuffix(strings.TrimPrefix(server, "tcp://"), ":9007/amps/json")
}

func reasonText(err error) string {
	for text, typed := range map[string]error{
		"stopping": client.ErrServerStopping, "preferred": client.ErrPreferred, "gap": client.ErrPublishGap, "name": client.ErrNameInUse,
		"lagging": client.ErrLagging, "async": client.ErrAsync, "one way": client.ErrOneWay, "async path": client.ErrAsyncPath,
	} {
		if errors.Is(err, typed) {
			return text
		}
	}
	return "lost"
}

func wantMoves(t *testing.T, c *client.Client, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := moveTexts(c); !slices.Equal(got, want) {
		t.Errorf("moves %q, want %q", got, want)
	}
}

// A server's own report of its state is known, at the logon and after each change.
func TestServerChanged(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a := listen(t, n, "a")
		var got []client.SyncStatus
		cfg := config(n, "a")
		cfg.Hooks.ServerChanged = func(i client.ServerInfo) { got = append(got, i.Sync) }
		c := start(t, cfg)
		ss := a.logonAs("a", syncstatus.CatchingUp.String(), "b,c")
		synctest.Wait()
		st := c.Stats()
		if i := st.Server; i.Instance != "a" || !slices.Equal(i.Peers, []string{"b", "c"}) || i.Sync != client.SyncCatchingUp || !i.CatchingUp {
			t.Errorf("at the logon: %+v", i)
		}
		for _, s := range []string{syncstatus.InSync.String(), syncstatus.InSync.String(), syncstatus.Single.String(), "what comes later", syncstatus.Apart.String()} {
			ss.sendSyncStatus(s)
			synctest.Wait()
		}
		want := []client.SyncStatus{client.SyncOK, client.SyncSingle, client.SyncUnknown, client.SyncApart}
		if !slices.Equal(got, want) {
			t.Errorf("hook got %v, want %v", got, want)
		}
		st = c.Stats()
		if st.Server.Sync != client.SyncApart || st.Server.CatchingUp || len(st.Servers) != 1 || st.Servers[0].Sync != client.SyncApart {
			t.Errorf("at the end: %+v, %+v", st.Server, st.Servers)
		}
		publish(t, c, 1) // publishing continues as before
		ss.expectPublishes(1)
	})
}

// Each move has its reason.
func TestMoves(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		var got []client.Move
		cfg := config(n, "a", "b")
		cfg.Hooks.Moved = func(m client.Move) { got = append(got, m) }
		c := start(t, cfg)

		ss := a.logonAs("a", syncstatus.InSync.String(), "b")
		time.Sleep(10 * time.Second)
		ss.close() // the connection is lost
		ss = b.logonAs("b", syncstatus.InSync.String(), "a")
		time.Sleep(10 * time.Second)
		ss.sendSyncStatus(syncstatus.Stopping.String())
		ss.close()
		sa := a.accept()
		sa.expect(wire.Logon)
		sa.refuse("publish gap")
		ss = b.logonAs("b", syncstatus.InSync.String(), "a")
		time.Sleep(10 * time.Second)
		ss.refuse("name in use")
		ss = a.logonAs("a", syncstatus.InSync.String(), "b")
		time.Sleep(10 * time.Second)
		ss.refuse("publish gap")
		b.logonAs("b", syncstatus.InSync.String(), "a")

		wantMoves(t, c, " to a", "a to b: lost", "b to a: name", "a to b: gap")
		if len(got) != 4 || got[1].At.IsZero() {
			t.Errorf("the hook got %+v", got)
		}
	})
}

// Only the last moves are kept.
func TestMovesAreBounded(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		servers := []*script{listen(t, n, "a"), listen(t, n, "b")}
		c := start(t, config(n, "a", "b"))
		for i := range 40 {
			ss := servers[i%2].logonAs(string("ab"[i%2]), syncstatus.InSync.String(), string("ba"[i%2]))
			time.Sleep(10 * time.Second)
			ss.close()
		}
		servers[0].accept()
		synctest.Wait()
		m := c.Stats().Moves
		if len(m) != 16 || host(m[15].To) != "b" || !m[15].At.After(m[14].At) {
			t.Errorf("%d moves, the last to %s", len(m), m[len(m)-1].To)
		}
	})
}

// A server that lags, or is asynchronous, is refused as long as there are others to try. If
// there are none the client stays on it.
func TestChooserRefusesLagging(t *testing.T) {
	for _, tt := range []struct{ status, reason string }{
		{syncstatus.CatchingUp.String(), "lagging"}, {syncstatus.Async.String(), "async"}, {syncstatus.OneWay.String(), "one way"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			run(t, func(t *testing.T, n *memnet.Network) {
				a, b := listen(t, n, "a"), listen(t, n, "b")
				c := start(t, config(n, "a", "b"))
				a.logonAs("a", tt.status, "").expectClosed()
				sb := b.logonAs("b", syncstatus.InSync.String(), "c")
				wantMoves(t, c, " to b; not a: "+tt.reason)
				time.Sleep(10 * time.Second)
				b.close()
				sb.close() // now no server is left
				a.logonAs("a", tt.status, "").expectNothing(10 * time.Second)
				wantMoves(t, c, " to b; not a: "+tt.reason, "b to a: lost; not b: lost")
			})
		})
	}
}

// The server whose connection was lost is tried before one that is known to lag.
func TestChooserAvoidsTheLagging(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		c := start(t, config(n, "b", "a"))
		b.logonAs("b", syncstatus.InSync.String(), "a").close()
		ss := a.logonAs("a", syncstatus.InSync.String(), "b")
		time.Sleep(10 * time.Second)
		ss.sendSyncStatus(syncstatus.Single.String()) // from now on b lacks messages
		time.Sleep(10 * time.Second)
		ss.close()
		ss = a.logonAs("a", syncstatus.Single.String(), "b")
		b.expectNoConnection(10 * time.Second)
		ss.sendSyncStatus(syncstatus.InSync.String()) // b has caught up
		time.Sleep(time.Second)
		ss.close()
		b.logonAs("b", syncstatus.InSync.String(), "a")
		wantMoves(t, c, " to b", "b to a: lost", "a to b: lost")
	})
}

// A client does not stay with an asynchronous server for ever.
func TestChooserLeavesTheAsynchronous(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		far := listen(t, n, "far")
		c := start(t, config(n, "a", "far"))
		ss := far.logonAs("far", syncstatus.Async.String(), "")
		ss.expectNothing(time.Minute)
		a := listen(t, n, "a")
		ss.expectClosed()
		a.accept() // the probe
		a.logonAs("a", syncstatus.InSync.String(), "b").expectNothing(time.Minute)
		wantMoves(t, c, " to far; not a: lost", "far to a: preferred")
	})
}

// A bookmark subscription does not follow an asynchronous path (hard case 18). Its client keeps
// trying and reports this. With AllowUnreplicated it moves.
func TestAsyncPath(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts []client.SubscribeOption
		goes bool
	}{
		{"a bookmark subscription", []client.SubscribeOption{client.From(client.Epoch)}, false},
		{"one with AllowUnreplicated", []client.SubscribeOption{client.From(client.Epoch), client.AllowUnreplicated()}, true},
		{"one without bookmark", nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(t *testing.T, n *memnet.Network) {
				// far is in sync with a peer of its own, at another site.
				a, far := listen(t, n, "a"), listen(t, n, "far")
				c := start(t, config(n, "a", "far"))
				ss := a.logonAs("a", syncstatus.InSync.String(), "b")
				sub := subscribe(t, c, tt.opts...)
				ss.acceptSubscribe("0")
				must(t, sub)
				time.Sleep(10 * time.Second)
				a.close()
				ss.close()
				sf := far.logonAs("far", syncstatus.InSync.String(), "further")
				if tt.goes {
					sf.expect(wire.Subscribe)
					return
				}
				for range 3 { // the client tries again and again
					sf.expectClosed()
					sf = far.logonAs("far", syncstatus.InSync.String(), "further")
				}
				sf.expectClosed()
				synctest.Wait()
				st := c.Stats()
				if !errors.Is(st.LastFailure, client.ErrAsyncPath) && st.State != client.StateWaiting || st.AsyncRefusals != 4 || st.Logons != 1 {
					t.Errorf("%v, %d refusals, %d connects, %v", st.State, st.AsyncRefusals, st.Logons, st.LastFailure)
				}
				a = listen(t, n, "a")
				for {
					select {
					case sf := <-far.sessions:
						sf.expect(wire.Logon)
						sf.close()
						continue
					case sa := <-a.sessions:
						sa.expect(wire.Logon)
						sa.acceptLogon(0, 0)
						sa.expect(wire.Subscribe)
					}
					break
				}
			})
		})
	}
}
