package clientcore

import (
	"maps"
	"slices"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/syncstatus"
)

// A bookmark subscription moves along a synchronous link, from its instance to one of that
// instance's peers, and not the other way round.
func TestLeadsTo(t *testing.T) {
	a := Server{Address: "a", Instance: "a", Peers: []string{"b"}}
	b := Server{Address: "b", Instance: "b", Peers: []string{"a"}}
	async := Server{Address: "c", Instance: "c", Sync: syncstatus.Async}
	pair := Server{Address: "c", Instance: "c", Peers: []string{"d"}, Sync: syncstatus.InSync} // a pair that a and b feed asynchronously
	alone := Server{Address: "x", Instance: "x", Sync: syncstatus.Alone}
	moved := Server{Address: "elsewhere", Instance: "a", Peers: []string{"b"}}
	unnamed := Server{Address: "old"}
	for _, tt := range []struct {
		name     string
		from, to Server
		want     bool
	}{
		{"no server before", Server{}, async, true},
		{"a peer", a, b, true},
		{"the same instance", async, async, true},
		{"the same instance at another address", a, moved, true},
		{"an asynchronous instance", a, async, false},
		{"from an asynchronous instance", async, a, false},
		{"a pair that is in sync with itself", a, pair, false},
		{"between two lone instances", alone, a, false},
		{"a server without a name may be a peer", a, unnamed, true},
		{"a server without a name, if there are no peers", async, unnamed, false},
		{"from a server without a name", unnamed, a, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.from.LeadsTo(&tt.to); got != tt.want {
				t.Errorf("%+v leads to %+v: %v", tt.from, tt.to, got)
			}
		})
	}
}

func TestServerReports(t *testing.T) {
	info := func(name string, s syncstatus.Status, peers ...string) Server {
		return Server{Address: "tcp://" + name, Instance: name, Peers: peers, Sync: s, CatchingUp: s == syncstatus.CatchingUp}
	}
	for _, tt := range []struct {
		name    string
		reports []Server
		want    map[string]syncstatus.Status
	}{
		{"its own report", []Server{info("a", syncstatus.InSync, "b")}, map[string]syncstatus.Status{"a": syncstatus.InSync}},
		{"the last report counts", []Server{info("a", syncstatus.InSync, "b"), info("a", syncstatus.Apart, "b")}, map[string]syncstatus.Status{"a": syncstatus.Apart}},
		{"a reports that b has caught up", []Server{info("b", syncstatus.CatchingUp, "a"), info("a", syncstatus.InSync, "b")}, map[string]syncstatus.Status{"a": syncstatus.InSync, "b": syncstatus.InSync}},
		{"a does not wait for b", []Server{info("b", syncstatus.InSync, "a"), info("a", syncstatus.Single, "b")}, map[string]syncstatus.Status{"a": syncstatus.Single, "b": syncstatus.CatchingUp}},
		{"b is away from a: it lacks nothing", []Server{info("b", syncstatus.InSync, "a"), info("a", syncstatus.Apart, "b")}, map[string]syncstatus.Status{"a": syncstatus.Apart, "b": syncstatus.InSync}},
		{"c is no peer of a", []Server{info("c", syncstatus.CatchingUp), info("a", syncstatus.InSync, "b")}, map[string]syncstatus.Status{"a": syncstatus.InSync, "c": syncstatus.CatchingUp}},
		{"an asynchronous server stays so", []Server{info("b", syncstatus.Async), info("a", syncstatus.InSync, "b")}, map[string]syncstatus.Status{"a": syncstatus.InSync, "b": syncstatus.Async}},
		{"and so does one that does not replicate back", []Server{info("b", syncstatus.OneWay), info("a", syncstatus.InSync, "b")}, map[string]syncstatus.Status{"a": syncstatus.InSync, "b": syncstatus.OneWay}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := make(ServerReports)
			for _, i := range tt.reports {
				r.Record(i.Instance, i)
			}
			got := make(map[string]syncstatus.Status)
			for server, i := range r {
				got[server] = i.Sync
				if i.CatchingUp && i.Sync == syncstatus.InSync {
					t.Errorf("%s is in sync and catching up", server)
				}
			}
			if !maps.Equal(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

// Better leaves out the servers that lag, and those where bookmark subscriptions may not
// continue.
func TestBetter(t *testing.T) {
	r := ServerReports{"ok": {Sync: syncstatus.InSync}, "lags": {Sync: syncstatus.CatchingUp}, "async": {Sync: syncstatus.Async}, "one way": {Sync: syncstatus.OneWay}, "elsewhere": {Instance: "e"}}
	got := r.Better([]string{"lags", "unknown", "async", "one way", "elsewhere", "ok"}, func(to *Server) bool { return to.Instance != "e" })
	if want := []string{"unknown", "ok"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
