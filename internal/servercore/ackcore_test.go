package servercore

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/ledger"
)

func TestAckCore(t *testing.T) {
	ok := func(s uint64) PersistedAck { return PersistedAck{Sequence: s} }
	one := func(s uint64) PersistedAck { return PersistedAck{Sequence: s, Single: true} }
	bad := func(s uint64) PersistedAck { return PersistedAck{Sequence: s, Failure: true, Reason: "no"} }
	tomb := func(s ...uint64) (t []ledger.Refusal) {
		for _, s := range s {
			t = append(t, ledger.Refusal{Sequence: s, Reason: "no"})
		}
		return t
	}
	for _, tt := range []struct {
		name          string
		core          AckCore
		safe, settled uint64
		tombs         []ledger.Refusal
		want          []PersistedAck
	}{
		{"nothing moved", AckCore{ext: true, Received: 5, Wanted: 5, Safe: 5, Failed: 5}, 5, 5, nil, nil},
		{"safe", AckCore{ext: true, Received: 5, Wanted: 5}, 5, 5, nil, []PersistedAck{ok(5)}},
		{"safe, then single", AckCore{ext: true, Received: 5, Wanted: 5}, 3, 5, nil, []PersistedAck{ok(3), one(5)}},
		{"single said before", AckCore{ext: true, Received: 5, Wanted: 5, Safe: 3, Single: 5}, 3, 5, nil, nil},
		{"safe after single", AckCore{ext: true, Received: 5, Wanted: 5, Safe: 3, Single: 5}, 5, 5, nil, []PersistedAck{ok(5)}},
		{"safe fell", AckCore{ext: true, Received: 6, Wanted: 6, Safe: 5}, 0, 0, nil, nil},
		{"no more than was sent", AckCore{ext: true, Received: 4, Wanted: 4}, 9, 9, nil, []PersistedAck{ok(4)}},
		{"plain: settled", AckCore{Received: 5, Wanted: 5}, 3, 5, nil, []PersistedAck{ok(5)}},
		{"plain: not asked", AckCore{Received: 5}, 5, 5, nil, nil},
		{"plain: asked for part", AckCore{Received: 5, Wanted: 2}, 5, 5, nil, []PersistedAck{ok(5)}},
		{"the example of the protocol", AckCore{Received: 5, Wanted: 5}, 5, 5, tomb(3), []PersistedAck{ok(2), bad(3), ok(5)}},
		{"plain: a tombstone waits until it is settled", AckCore{Received: 5, Wanted: 5}, 2, 2, tomb(3), []PersistedAck{ok(2)}},
		{"extended: it waits for what is before it", AckCore{ext: true, Received: 5, Wanted: 5}, 2, 2, tomb(3), []PersistedAck{ok(2), bad(3)}},
		{"extended: and no longer", AckCore{ext: true, Received: 5, Wanted: 5}, 1, 1, tomb(3), []PersistedAck{ok(1)}},
		{"single before the failure", AckCore{ext: true, Received: 5, Wanted: 5}, 1, 5, tomb(3), []PersistedAck{ok(1), one(2), bad(3), one(5)}},
		{"several", AckCore{ext: true, Received: 4, Wanted: 4}, 0, 0, tomb(1, 2, 4), []PersistedAck{bad(1), bad(2)}},
		{"told before", AckCore{ext: true, Received: 5, Wanted: 5, Failed: 3}, 5, 5, tomb(3), []PersistedAck{ok(5)}},
		{"not sent in this session", AckCore{ext: true, Received: 2, Wanted: 2}, 5, 5, tomb(3), []PersistedAck{ok(2)}},
		{"a duplicate asks", AckCore{ext: true, Received: 5, Wanted: 5, Safe: 5, Failed: 5, RepeatWatermark: true}, 5, 5, nil, []PersistedAck{ok(5)}},
		{"a duplicate asks, nothing is safe", AckCore{ext: true, Received: 5, Wanted: 5, RepeatWatermark: true}, 0, 0, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.core.Next(nil, tt.safe, tt.settled, tt.tombs); !slices.Equal(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if tt.core.RepeatWatermark {
				t.Error("asks for ever")
			}
		})
	}
}

// No success ever passes the watermarks or a tombstone whose failure was not sent, and no watermark
// is sent twice.
func TestAckCoreProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ext := rapid.Bool().Draw(t, "ext")
		var core AckCore
		core.Begin(ext, 0, 0)
		var all []ledger.Refusal
		var have, lastSafe, lastSingle uint64
		told := map[uint64]bool{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			for range rapid.IntRange(0, 3).Draw(t, "publishes") {
				have++
				if rapid.Bool().Draw(t, "refused") {
					all = append(all, ledger.Refusal{Sequence: have, Reason: "no"})
				}
				core.TrackPublish(have, true)
			}
			settled := rapid.Uint64Range(0, have).Draw(t, "settled")
			safe := rapid.Uint64Range(0, settled).Draw(t, "safe")
			var tombs []ledger.Refusal
			for _, x := range all {
				if x.Sequence > core.Failed {
					tombs = append(tombs, x)
				}
			}
			for _, o := range core.Next(nil, safe, settled, tombs) {
				if o.Failure {
					if told[o.Sequence] {
						t.Fatalf("failure %d twice", o.Sequence)
					}
					told[o.Sequence] = true
					continue
				}
				for _, x := range all {
					if x.Sequence <= o.Sequence && !told[x.Sequence] {
						t.Fatalf("%+v passes tombstone %d", o, x.Sequence)
					}
				}
				switch {
				case o.Single && (o.Sequence > settled || o.Sequence <= max(lastSafe, lastSingle)):
					t.Fatalf("%+v with settled %d after %d", o, settled, lastSingle)
				case !o.Single && (ext && o.Sequence > safe || o.Sequence > settled || o.Sequence <= lastSafe):
					t.Fatalf("%+v with safe %d, settled %d after %d", o, safe, settled, lastSafe)
				}
				if o.Single {
					lastSingle = o.Sequence
				} else {
					lastSafe = o.Sequence
				}
			}
		}
	})
}
