package client

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"
)

// A move of a bookmark subscription goes along a synchronous link, from the
// instance it was on to one of its peers, and not the other way round.
func TestLeadsTo(t *testing.T) {
	a := ServerInfo{Server: "a", Instance: "a", Peers: []string{"b"}}
	b := ServerInfo{Server: "b", Instance: "b", Peers: []string{"a"}}
	far := ServerInfo{Server: "c", Instance: "c", Sync: SyncAsync}
	site := ServerInfo{Server: "c", Instance: "c", Peers: []string{"d"}, Sync: SyncOK} // of a pair that a and b feed asynchronously
	alone := ServerInfo{Server: "x", Instance: "x", Sync: SyncAlone}
	moved := ServerInfo{Server: "elsewhere", Instance: "a", Peers: []string{"b"}}
	silent := ServerInfo{Server: "old"}
	for _, tt := range []struct {
		name     string
		from, to ServerInfo
		want     bool
	}{
		{"it was nowhere yet", ServerInfo{}, far, true},
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
			from, to := tt.from.core(), tt.to.core()
			if got := from.LeadsTo(&to); got != tt.want {
				t.Errorf("%+v leads to %+v: %v", tt.from, tt.to, got)
			}
		})
	}
}

func TestKnown(t *testing.T) {
	info := func(name string, s SyncState, peers ...string) ServerInfo {
		return ServerInfo{Server: "tcp://" + name, Instance: name, Peers: peers, Sync: s, CatchingUp: s == SyncCatchingUp}
	}
	for _, tt := range []struct {
		name string
		says []ServerInfo
		want map[string]SyncState
	}{
		{"itself", []ServerInfo{info("a", SyncOK, "b")}, map[string]SyncState{"a": SyncOK}},
		{"the last word counts", []ServerInfo{info("a", SyncOK, "b"), info("a", SyncApart, "b")}, map[string]SyncState{"a": SyncApart}},
		{"b has caught up, says a", []ServerInfo{info("b", SyncCatchingUp, "a"), info("a", SyncOK, "b")}, map[string]SyncState{"a": SyncOK, "b": SyncOK}},
		{"b is left out by a", []ServerInfo{info("b", SyncOK, "a"), info("a", SyncSingle, "b")}, map[string]SyncState{"a": SyncSingle, "b": SyncCatchingUp}},
		{"b is away from a: it lacks nothing", []ServerInfo{info("b", SyncOK, "a"), info("a", SyncApart, "b")}, map[string]SyncState{"a": SyncApart, "b": SyncOK}},
		{"c is no peer of a", []ServerInfo{info("c", SyncCatchingUp), info("a", SyncOK, "b")}, map[string]SyncState{"a": SyncOK, "c": SyncCatchingUp}},
		{"what is asynchronous stays so", []ServerInfo{info("b", SyncAsync), info("a", SyncOK, "b")}, map[string]SyncState{"a": SyncOK, "b": SyncAsync}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := make(known)
			for _, i := range tt.says {
				k.says(i.Instance, i)
			}
			got := make(map[string]SyncState)
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
	k := known{"ok": {Sync: SyncOK}, "lags": {Sync: SyncCatchingUp}, "async": {Sync: SyncAsync}, "elsewhere": {Instance: "e"}}
	got := k.better([]string{"lags", "unknown", "async", "elsewhere", "ok"}, func(to *ServerInfo) bool { return to.Instance != "e" })
	if want := []string{"unknown", "ok"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestSyncState(t *testing.T) {
	for s := SyncUnknown; s <= SyncStopping; s++ {
		if got := parseSync([]byte(s.String())); got != s {
			t.Errorf("%v is read as %v", s, got)
		}
	}
	for _, text := range []string{"", "what comes later", "unknown"} {
		if got := parseSync([]byte(text)); got != SyncUnknown {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestJourney(t *testing.T) {
	var j journey
	lost, refused := errors.New("lost"), errors.New("refused")
	arrive := func(server string) (Move, bool) { return j.arrive(server, time.Unix(7, 0)) }
	leave := func(server string, err error) { j.leave(&ConnectError{Server: server, Err: err}) }

	leave("a", refused)
	if m, moved := arrive("b"); !moved || m.From != "" || m.To != "b" || m.Err != nil || len(m.Passed) != 1 || m.Passed[0].Server != "a" {
		t.Errorf("the first: %+v, %v", m, moved)
	}
	leave("b", lost)
	if m, moved := arrive("b"); moved {
		t.Errorf("a reconnect: %+v", m)
	}
	leave("b", lost)
	leave("b", refused)
	leave("c", lost)
	leave("c", refused)
	m, moved := arrive("a")
	if !moved || m.From != "b" || m.To != "a" || m.Err != lost || !m.At.Equal(time.Unix(7, 0)) {
		t.Errorf("a move: %+v, %v", m, moved)
	}
	if len(m.Passed) != 2 || m.Passed[0].Server != "b" || m.Passed[1].Err != refused {
		t.Errorf("it passed %v", m.Passed)
	}
}
