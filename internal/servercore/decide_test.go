package servercore

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/ledger"
)

func TestDecideLogon(t *testing.T) {
	accept := func(s, have uint64) LogonVerdict {
		return LogonVerdict{Step: LogonAccept, Sequence: s, Have: have}
	}
	wait, gap := LogonVerdict{Step: LogonWait}, LogonVerdict{Step: LogonGap}
	for _, tt := range []struct {
		name string
		f    LogonFacts
		want LogonVerdict
	}{
		{"no publisher", LogonFacts{}, accept(0, 0)},
		{"extended: safe, not have", LogonFacts{Ext: true, Publishes: true, Acked: 3, Last: 9, Have: 9, Safe: 5, Settled: 7}, accept(5, 9)},
		{"extended: the ledger is ahead", LogonFacts{Ext: true, Publishes: true, Acked: 3, Last: 8, Have: 9, Safe: 5, Settled: 7}, LogonVerdict{Step: LogonAccept, Sequence: 3, Have: 9, LedgerAhead: true}},
		{"extended: peers need not answer", LogonFacts{Ext: true, Publishes: true, Acked: 9, Last: 9, Have: 9}, accept(0, 9)},
		{"extended: a gap", LogonFacts{Ext: true, Publishes: true, Acked: 10, Have: 9, Lone: true}, gap},
		{"extended, unknown, alone", LogonFacts{Ext: true, Publishes: true, Acked: 4, Lone: true, Intact: true}, LogonVerdict{Step: LogonGone, UpTo: 4, Cause: ledger.LetGo}},
		{"extended, unknown, alone, not intact", LogonFacts{Ext: true, Publishes: true, Acked: 4, Lone: true}, LogonVerdict{Step: LogonGone, UpTo: 4, Cause: ledger.Lost}},
		{"extended, unknown, peers silent", LogonFacts{Ext: true, Publishes: true, Acked: 4, Asked: true}, wait},
		{"extended, unknown to all", LogonFacts{Ext: true, Publishes: true, Acked: 4, Asked: true, AllAnswered: true, Intact: true}, LogonVerdict{Step: LogonGone, UpTo: 4, Cause: ledger.LetGo}},
		{"extended, unknown to all, none intact", LogonFacts{Ext: true, Publishes: true, Acked: 4, Asked: true, AllAnswered: true}, LogonVerdict{Step: LogonGone, UpTo: 4, Cause: ledger.Lost}},
		{"extended, known to a peer", LogonFacts{Ext: true, Publishes: true, Acked: 4, AllAnswered: true, PeerHave: 2}, gap},
		{"extended, known to a peer that replicates here", LogonFacts{Ext: true, Publishes: true, Acked: 4, AllAnswered: true, PeerHave: 5, IncomingHave: 5}, wait},
		{"extended, unknown, catching up", LogonFacts{Ext: true, Publishes: true, Acked: 4, AllAnswered: true, CatchingUp: true}, gap},
		{"extended, a gap, by decree", LogonFacts{Ext: true, Publishes: true, Acked: 10, Have: 9, DecreeUnused: true, SurvivorsAnswered: true}, LogonVerdict{Step: LogonLost, UpTo: 10}},
		{"extended, unknown, by decree", LogonFacts{Ext: true, Publishes: true, Acked: 10, DecreeUnused: true, SurvivorsAnswered: true, CatchingUp: true}, LogonVerdict{Step: LogonLost, UpTo: 10}},
		{"extended, a gap, a survivor is silent", LogonFacts{Ext: true, Publishes: true, Acked: 10, Have: 9, DecreeUnused: true, AllAnswered: true}, wait},
		{"extended, a gap, a peer has more", LogonFacts{Ext: true, Publishes: true, Acked: 10, Have: 8, PeerHave: 9, DecreeUnused: true, SurvivorsAnswered: true}, gap},
		{"extended, no gap, by decree", LogonFacts{Ext: true, Publishes: true, Acked: 9, Last: 9, Have: 9, Safe: 9, DecreeUnused: true}, accept(9, 9)},
		{"extended, unknown, heard since the last one was forgotten", LogonFacts{Ext: true, Publishes: true, Acked: 3, Sent: 5, Last: 5, Clock: 8, GroupClock: ledger.GroupClock{Forgotten: 7}, Lone: true, Intact: true}, LogonVerdict{Step: LogonGone, UpTo: 3, Cause: ledger.LetGo}},
		{"extended, perhaps forgotten", LogonFacts{Ext: true, Publishes: true, Acked: 3, Sent: 5, Last: 6, Clock: 7, GroupClock: ledger.GroupClock{Forgotten: 7}, Lone: true, Intact: true}, LogonVerdict{Step: LogonGone, UpTo: 3, Unknown: 5, Cause: ledger.LetGo}},
		{"extended, perhaps forgotten, none intact", LogonFacts{Ext: true, Publishes: true, Acked: 3, Sent: 5, Last: 6, Clock: 7, GroupClock: ledger.GroupClock{Forgotten: 7}, Lone: true}, LogonVerdict{Step: LogonGone, UpTo: 3, Unknown: 5, Cause: ledger.Lost}},
		{"extended, perhaps forgotten, by decree", LogonFacts{Ext: true, Publishes: true, Acked: 3, Sent: 5, Last: 6, Clock: 7, GroupClock: ledger.GroupClock{Forgotten: 7}, DecreeUnused: true, SurvivorsAnswered: true}, LogonVerdict{Step: LogonLost, UpTo: 3, Unknown: 5}},
		{"extended, perhaps forgotten, nothing acknowledged, by decree", LogonFacts{Ext: true, Publishes: true, Sent: 5, Last: 6, Clock: 7, GroupClock: ledger.GroupClock{Forgotten: 7}, DecreeUnused: true, SurvivorsAnswered: true}, LogonVerdict{Step: LogonLost, Unknown: 5}},
		{"extended, perhaps forgotten, a survivor is silent", LogonFacts{Ext: true, Publishes: true, Acked: 3, Sent: 5, Last: 6, Clock: 7, GroupClock: ledger.GroupClock{Forgotten: 7}, DecreeUnused: true}, wait},
		{"extended, perhaps forgotten, nothing open", LogonFacts{Ext: true, Publishes: true, Acked: 5, Sent: 5, Last: 6, Clock: 7, GroupClock: ledger.GroupClock{Forgotten: 7}, Lone: true, Intact: true}, LogonVerdict{Step: LogonGone, UpTo: 5, Cause: ledger.LetGo}},
		{"extended, perhaps forgotten, nothing acknowledged", LogonFacts{Ext: true, Publishes: true, Sent: 5, Last: 6, Clock: 1, GroupClock: ledger.GroupClock{Forgotten: 7}, AllAnswered: true, Intact: true}, LogonVerdict{Step: LogonGone, Unknown: 5, Cause: ledger.LetGo}},
		{"extended, perhaps forgotten, peers silent", LogonFacts{Ext: true, Publishes: true, Sent: 5, Last: 6, Clock: 1, GroupClock: ledger.GroupClock{Forgotten: 7}, Asked: true}, wait},
		{"extended, perhaps forgotten, but a peer has it", LogonFacts{Ext: true, Publishes: true, Sent: 5, Last: 6, Clock: 1, GroupClock: ledger.GroupClock{Forgotten: 7}, AllAnswered: true, PeerHave: 5}, accept(0, 0)},
		{"extended, a new life", LogonFacts{Ext: true, Publishes: true, Last: 6, GroupClock: ledger.GroupClock{Forgotten: 7}, Asked: true}, accept(0, 0)},
		{"extended, a life that has heard no clock", LogonFacts{Ext: true, Publishes: true, Sent: 5, Last: 6, GroupClock: ledger.GroupClock{Forgotten: 7}, Asked: true}, accept(0, 0)},
		{"extended, in a group that has forgotten nobody", LogonFacts{Ext: true, Publishes: true, Sent: 5, Last: 6, Clock: 1, Asked: true}, accept(0, 0)},
		{"plain, not asked yet", LogonFacts{Publishes: true}, wait},
		{"plain, alone", LogonFacts{Publishes: true, Lone: true, Have: 7, Settled: 7}, accept(7, 7)},
		{"plain, alone, not durable yet", LogonFacts{Publishes: true, Lone: true, Have: 7, Settled: 6}, wait},
		{"plain, peers silent", LogonFacts{Publishes: true, Asked: true, Reachable: true, Have: 7, Settled: 7}, wait},
		{"plain, known here, nobody reachable", LogonFacts{Publishes: true, Asked: true, Have: 7, Settled: 7}, wait},
		{"plain, unknown, nobody reachable", LogonFacts{Publishes: true, Asked: true}, accept(0, 0)},
		{"plain, peer ahead", LogonFacts{Publishes: true, Asked: true, AllAnswered: true, EnoughAnswered: true, Reachable: true, PeerHave: 8, IncomingHave: 8, Have: 7, Settled: 7}, wait},
		{"plain, ahead is a peer that sends nothing", LogonFacts{Publishes: true, Asked: true, AllAnswered: true, EnoughAnswered: true, Reachable: true, PeerHave: 8, IncomingHave: 7, Have: 7, Settled: 7}, accept(7, 7)},
		{"plain, an asynchronous destination is away", LogonFacts{Publishes: true, Asked: true, EnoughAnswered: true, Reachable: true, PeerHave: 7, IncomingHave: 7, Have: 7, Settled: 7}, accept(7, 7)},
		{"plain, not settled", LogonFacts{Publishes: true, Asked: true, AllAnswered: true, EnoughAnswered: true, Reachable: true, PeerHave: 7, IncomingHave: 7, Have: 7, Settled: 5}, wait},
		{"plain, one number", LogonFacts{Publishes: true, Asked: true, AllAnswered: true, EnoughAnswered: true, Reachable: true, PeerHave: 7, IncomingHave: 7, Have: 7, Settled: 7}, accept(7, 7)},
		{"plain, downgraded", LogonFacts{Publishes: true, Asked: true, Single: true, Have: 7, Settled: 7}, accept(7, 7)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := DecideLogon(tt.f); got != tt.want {
				t.Errorf("DecideLogon(%+v) = %+v, want %+v", tt.f, got, tt.want)
			}
		})
	}
}

func TestLogonAcksOnlySafeMessages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have := rapid.Uint64Range(0, 5).Draw(t, "have")
		f := LogonFacts{
			Ext: true, Publishes: true, Have: have,
			Acked:       rapid.Uint64Range(0, 6).Draw(t, "acked"),
			Safe:        rapid.Uint64Range(0, have).Draw(t, "safe"),
			Settled:     rapid.Uint64Range(0, have).Draw(t, "settled"),
			Lone:        rapid.Bool().Draw(t, "lone"),
			AllAnswered: rapid.Bool().Draw(t, "answered"),
			CatchingUp:  rapid.Bool().Draw(t, "catchingUp"),
			PeerHave:    rapid.Uint64Range(0, 5).Draw(t, "peerHave"),
		}
		v := DecideLogon(f)
		if v.Step == LogonAccept && (v.Sequence > f.Safe || f.Acked > f.Have) {
			t.Errorf("%+v was accepted with s=%d", f, v.Sequence)
		}
		if v.Step == LogonGone && (f.Have > 0 || f.CatchingUp && !f.Lone) {
			t.Errorf("%+v is called gone", f)
		}
	})
}

func TestUnknownEverywhere(t *testing.T) {
	for _, tt := range []struct {
		f    LogonFacts
		want bool
	}{
		{LogonFacts{Lone: true}, true},
		{LogonFacts{Lone: true, Have: 1}, false},
		{LogonFacts{}, false},
		{LogonFacts{AllAnswered: true}, true},
		{LogonFacts{AllAnswered: true, PeerHave: 1}, false},
		{LogonFacts{AllAnswered: true, CatchingUp: true}, false},
	} {
		if got := tt.f.UnknownEverywhere(); got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.f, got, tt.want)
		}
	}
}

// A number that is sent again is answered from the record at that number.
func TestDecideResend(t *testing.T) {
	own, ahead := ResendFacts{}, ResendFacts{LedgerAhead: true}
	for _, tt := range []struct {
		name string
		st   ledger.RecordInfo
		f    ResendFacts
		want ResendVerdict
	}{
		{"the same message", ledger.RecordInfo{Kind: ledger.Message, Same: true}, own, ResendKnown},
		{"the same, of a life with the ledger ahead", ledger.RecordInfo{Kind: ledger.Message, Same: true}, ahead, ResendKnown},
		{"another message", ledger.RecordInfo{Kind: ledger.Message}, own, ResendDiffers},
		{"an empty record, and a message comes", ledger.RecordInfo{Kind: ledger.Empty}, own, ResendDiffers},
		{"a message, and it would be refused now", ledger.RecordInfo{Kind: ledger.Message}, ResendFacts{Refused: true}, ResendKnown},
		{"that, of a life with the ledger ahead", ledger.RecordInfo{Kind: ledger.Message}, ResendFacts{Refused: true, LedgerAhead: true}, ResendDiffers},
		{"refused", ledger.RecordInfo{Kind: ledger.Tombstone}, own, ResendRefused},
		{"refused, and refused again", ledger.RecordInfo{Kind: ledger.Tombstone, Same: true}, ahead, ResendRefused},
		{"elsewhere", ledger.RecordInfo{Kind: ledger.Elsewhere}, own, ResendKnown},
		{"elsewhere, of a life with the ledger ahead", ledger.RecordInfo{Kind: ledger.Elsewhere}, ahead, ResendUnknown},
		{"removed by retention", ledger.RecordInfo{Kind: ledger.Gone}, own, ResendKnown},
		{"removed, of a life with the ledger ahead", ledger.RecordInfo{Kind: ledger.Gone}, ahead, ResendUnknown},
		{"let go, as the client has stated", ledger.RecordInfo{Kind: ledger.Gone, Cause: ledger.LetGo}, ResendFacts{LetGo: true}, ResendKnown},
		{"let go, and the client has not stated it", ledger.RecordInfo{Kind: ledger.Gone, Cause: ledger.LetGo}, own, ResendUnknown},
		{"lost", ledger.RecordInfo{Kind: ledger.Gone, Cause: ledger.Lost}, ResendFacts{LetGo: true}, ResendUnknown},
		{"nothing is remembered", ledger.RecordInfo{}, own, ResendKnown},
		{"nothing is found", ledger.RecordInfo{}, ahead, ResendUnknown},
	} {
		if got := DecideResend(tt.st, tt.f); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
