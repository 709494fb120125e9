package server

import (
	"testing"

	"pgregory.net/rapid"
)

func TestDecideLogon(t *testing.T) {
	accept := func(s, have uint64) logonVerdict {
		return logonVerdict{step: logonAccept, sequence: s, have: have}
	}
	wait, gap := logonVerdict{step: logonWait}, logonVerdict{step: logonGap}
	for _, tt := range []struct {
		name string
		f    logonFacts
		want logonVerdict
	}{
		{"no publisher", logonFacts{}, accept(0, 0)},
		{"extended: safe, not have", logonFacts{ext: true, publishes: true, acked: 3, have: 9, safe: 5, settled: 7}, accept(5, 9)},
		{"extended: peers need not answer", logonFacts{ext: true, publishes: true, acked: 9, have: 9}, accept(0, 9)},
		{"extended: a gap", logonFacts{ext: true, publishes: true, acked: 10, have: 9, lone: true}, gap},
		{"extended, unknown, alone", logonFacts{ext: true, publishes: true, acked: 4, lone: true}, logonVerdict{step: logonGone, upTo: 4}},
		{"extended, unknown, peers silent", logonFacts{ext: true, publishes: true, acked: 4, asked: true}, wait},
		{"extended, unknown to all", logonFacts{ext: true, publishes: true, acked: 4, asked: true, answered: true}, logonVerdict{step: logonGone, upTo: 4}},
		{"extended, known to a peer", logonFacts{ext: true, publishes: true, acked: 4, answered: true, peerHave: 2}, gap},
		{"extended, unknown, catching up", logonFacts{ext: true, publishes: true, acked: 4, answered: true, catchingUp: true}, gap},
		{"plain, not asked yet", logonFacts{publishes: true}, wait},
		{"plain, alone", logonFacts{publishes: true, lone: true, have: 7, settled: 7}, accept(7, 7)},
		{"plain, alone, not durable yet", logonFacts{publishes: true, lone: true, have: 7, settled: 6}, wait},
		{"plain, peers silent", logonFacts{publishes: true, asked: true, reachable: true, have: 7, settled: 7}, wait},
		{"plain, known here, nobody reachable", logonFacts{publishes: true, asked: true, have: 7, settled: 7}, wait},
		{"plain, unknown, nobody reachable", logonFacts{publishes: true, asked: true}, accept(0, 0)},
		{"plain, peer ahead", logonFacts{publishes: true, asked: true, answered: true, enough: true, reachable: true, peerHave: 8, coming: 8, have: 7, settled: 7}, wait},
		{"plain, ahead is a peer that sends nothing", logonFacts{publishes: true, asked: true, answered: true, enough: true, reachable: true, peerHave: 8, coming: 7, have: 7, settled: 7}, accept(7, 7)},
		{"plain, an asynchronous destination is away", logonFacts{publishes: true, asked: true, enough: true, reachable: true, peerHave: 7, coming: 7, have: 7, settled: 7}, accept(7, 7)},
		{"plain, not settled", logonFacts{publishes: true, asked: true, answered: true, enough: true, reachable: true, peerHave: 7, coming: 7, have: 7, settled: 5}, wait},
		{"plain, one number", logonFacts{publishes: true, asked: true, answered: true, enough: true, reachable: true, peerHave: 7, coming: 7, have: 7, settled: 7}, accept(7, 7)},
		{"plain, downgraded", logonFacts{publishes: true, asked: true, single: true, have: 7, settled: 7}, accept(7, 7)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := decideLogon(tt.f); got != tt.want {
				t.Errorf("decideLogon(%+v) = %+v, want %+v", tt.f, got, tt.want)
			}
		})
	}
}

func TestLogonNeverAcksWhatIsNotSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have := rapid.Uint64Range(0, 5).Draw(t, "have")
		f := logonFacts{
			ext: true, publishes: true, have: have,
			acked:      rapid.Uint64Range(0, 6).Draw(t, "acked"),
			safe:       rapid.Uint64Range(0, have).Draw(t, "safe"),
			settled:    rapid.Uint64Range(0, have).Draw(t, "settled"),
			lone:       rapid.Bool().Draw(t, "lone"),
			answered:   rapid.Bool().Draw(t, "answered"),
			catchingUp: rapid.Bool().Draw(t, "catchingUp"),
			peerHave:   rapid.Uint64Range(0, 5).Draw(t, "peerHave"),
		}
		v := decideLogon(f)
		if v.step == logonAccept && (v.sequence > f.safe || f.acked > f.have) {
			t.Errorf("%+v was accepted with s=%d", f, v.sequence)
		}
		if v.step == logonGone && (f.have > 0 || f.catchingUp && !f.lone) {
			t.Errorf("%+v is called gone", f)
		}
	})
}

func TestUnknownEverywhere(t *testing.T) {
	for _, tt := range []struct {
		f    logonFacts
		want bool
	}{
		{logonFacts{lone: true}, true},
		{logonFacts{lone: true, have: 1}, false},
		{logonFacts{}, false},
		{logonFacts{answered: true}, true},
		{logonFacts{answered: true, peerHave: 1}, false},
		{logonFacts{answered: true, catchingUp: true}, false},
	} {
		if got := tt.f.unknownEverywhere(); got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.f, got, tt.want)
		}
	}
}
