package clientcore

import (
	"maps"
	"slices"
	"testing"
)

// A move of a bookmark subscription goes along a synchronous link, from the
// instance it was on to one of its peers, and not the other way round.
func TestLeadsTo(t *testing.T) {
	a := Server{Address: "a", Instance: "a", Peers: []string{"b"}}
	b := Server{Address: "b", Instance: "b", Peers: []string{"a"}}
	far := Server{Address: "c", Instance: "c", Sync: SyncAsync}
	site := Server{Address: "c", Instance: "c", Peers: []string{"d"}, Sync: SyncOK} // of a pair that a and b feed asynchronously
	alone := Server{Address: "x", Instance: "x", Sync: SyncAlone}
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
	info := func(name string, s Sync, peers ...string) Server {
		return Server{Address: "tcp://" + name, Instance: name, Peers: peers, Sync: s, CatchingUp: s == SyncCatchingUp}
	}
	for _, tt := range []struct {
		name string
		says []Server
		want map[string]Sync
	}{
		{"itself", []Server{info("a", SyncOK, "b")}, map[string]Sync{"a": SyncOK}},
		{"the last word counts", []Server{info("a", SyncOK, "b"), info("a", SyncApart, "b")}, map[string]Sync{"a": SyncApart}},
		{"b has caught up, says a", []Server{info("b", SyncCatchingUp, "a"), info("a", SyncOK, "b")}, map[string]Sync{"a": SyncOK, "b": SyncOK}},
		{"b is left out by a", []Server{info("b", SyncOK, "a"), info("a", SyncSingle, "b")}, map[string]Sync{"a": SyncSingle, "b": SyncCatchingUp}},
		{"b is away from a: it lacks nothing", []Server{info("b", SyncOK, "a"), info("a", SyncApart, "b")}, map[string]Sync{"a": SyncApart, "b": SyncOK}},
		{"c is no peer of a", []Server{info("c", SyncCatchingUp), info("a", SyncOK, "b")}, map[string]Sync{"a": SyncOK, "c": SyncCatchingUp}},
		{"what is asynchronous stays so", []Server{info("b", SyncAsync), info("a", SyncOK, "b")}, map[string]Sync{"a": SyncOK, "b": SyncAsync}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := make(Known)
			for _, i := range tt.says {
				k.Says(i.Instance, i)
			}
			got := make(map[string]Sync)
			for server, i := range k {
				got[server] = i.Sync
				if i.CatchingUp && i.Sync == SyncOK {
					t.Errorf("%s is in sync and catching up", server)
				}
			}
			if !maps.Equal(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

// What a client does not leave its server for.
func TestBetter(t *testing.T) {
	k := Known{"ok": {Sync: SyncOK}, "lags": {Sync: SyncCatchingUp}, "async": {Sync: SyncAsync}, "elsewhere": {Instance: "e"}}
	got := k.Better([]string{"lags", "unknown", "async", "elsewhere", "ok"}, func(to *Server) bool { return to.Instance != "e" })
	if want := []string{"unknown", "ok"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestSync(t *testing.T) {
	for s := SyncUnknown; s <= SyncStopping; s++ {
		if got := ParseSync([]byte(s.String())); got != s {
			t.Errorf("%v is read as %v", s, got)
		}
	}
	for _, text := range []string{"", "what comes later", "unknown"} {
		if got := ParseSync([]byte(text)); got != SyncUnknown {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}
