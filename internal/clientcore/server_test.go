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
	far := Server{Address: "c", Instance: "c", Sync: syncstatus.Async}
	site := Server{Address: "c", Instance: "c", Peers: []string{"d"}, Sync: syncstatus.InSync} // the site is a pair that a and b feed asynchronously
	alone := Server{Address: "x", Instance: "x", Sync: syncstatus.Alone}
	moved := Server{Address: "elsewhere", Instance: "a", Peers: []string{"b"}}
	silent := Server{Address: "old"}
	for _, tt := range []struct {
		name     string
		from, to Server
		want     bool
	}{
		{"it was nowhere yet", Server{}, far, true},
		{"a peer", a, b, true},
		{"itself", far, far, true},
		{"itself at another address", a, moved, true},
		{"an asynchronous instance", a, far, false},
		{"from an asynchronous instance", far, a, false},
		{"another site in sync with itself", a, site, false},
		{"between two lone instances", alone, a, false},
		{"who does not say who it is may be a peer", a, silent, true},
		{"or not, if there are none", far, silent, false},
		{"nothing is known of where it was", silent, a, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.from.LeadsTo(&tt.to); got != tt.want {
				t.Errorf("%+v leads to %+v: %v", tt.from, tt.to, got)
			}
		})
	}
}

func TestKnown(t *testing.T) {
	info := func(name string, s syncstatus.Status, peers ...string) Server {
		return Server{Address: "tcp://" + name, Instance: name, Peers: peers, Sync: s, CatchingUp: s == syncstatus.CatchingUp}
	}
	for _, tt := range []struct {
		name string
		says []Server
		want map[string]syncstatus.Status
	}{
		{"itself", []Server{info("a", syncstatus.InSync, "b")}, map[string]syncstatus.Status{"a": syncstatus.InSync}},
		{"the last word counts", []Server{info("a", syncstatus.InSync, "b"), info("a", syncstatus.Apart, "b")}, map[string]syncstatus.Status{"a": syncstatus.Apart}},
		{"b has caught up, says a", []Server{info("b", syncstatus.CatchingUp, "a"), info("a", syncstatus.InSync, "b")}, map[string]syncstatus.Status{"a": syncstatus.InSync, "b": syncstatus.InSync}},
		{"b is left out by a", []Server{info("b", syncstatus.InSync, "a"), info("a", syncstatus.Single, "b")}, map[string]syncstatus.Status{"a": syncstatus.Single, "b": syncstatus.CatchingUp}},
		{"b is away from a: it lacks nothing", []Server{info("b", syncstatus.InSync, "a"), info("a", syncstatus.Apart, "b")}, map[string]syncstatus.Status{"a": syncstatus.Apart, "b": syncstatus.InSync}},
		{"c is no peer of a", []Server{info("c", syncstatus.CatchingUp), info("a", syncstatus.InSync, "b")}, map[string]syncstatus.Status{"a": syncstatus.InSync, "c": syncstatus.CatchingUp}},
		{"what is asynchronous stays so", []Server{info("b", syncstatus.Async), info("a", syncstatus.InSync, "b")}, map[string]syncstatus.Status{"a": syncstatus.InSync, "b": syncstatus.Async}},
		{"and what does not replicate back", []Server{info("b", syncstatus.OneWay), info("a", syncstatus.InSync, "b")}, map[string]syncstatus.Status{"a": syncstatus.InSync, "b": syncstatus.OneWay}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := make(ServerReports)
			for _, i := range tt.says {
				k.Record(i.Instance, i)
			}
			got := make(map[string]syncstatus.Status)
			for server, i := range k {
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
	k := ServerReports{"ok": {Sync: syncstatus.InSync}, "lags": {Sync: syncstatus.CatchingUp}, "async": {Sync: syncstatus.Async}, "one way": {Sync: syncstatus.OneWay}, "elsewhere": {Instance: "e"}}
	got := k.Better([]string{"lags", "unknown", "async", "one way", "elsewhere", "ok"}, func(to *Server) bool { return to.Instance != "e" })
	if want := []string{"unknown", "ok"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
