package server

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/journal"
)

func TestAckCore(t *testing.T) {
	ok := func(s uint64) ackOut { return ackOut{sequence: s} }
	one := func(s uint64) ackOut { return ackOut{sequence: s, single: true} }
	bad := func(s uint64) ackOut { return ackOut{sequence: s, failure: true, reason: "no"} }
	tomb := func(s ...uint64) (t []journal.Tombstoned) {
		for _, s := range s {
			t = append(t, journal.Tombstoned{Sequence: s, Reason: "no"})
		}
		return t
	}
	for _, tt := range []struct {
		name          string
		core          ackCore
		safe, settled uint64
		tombs         []journal.Tombstoned
		want          []ackOut
	}{
		{"nothing moved", ackCore{ext: true, received: 5, wanted: 5, safe: 5, failed: 5}, 5, 5, nil, nil},
		{"safe", ackCore{ext: true, received: 5, wanted: 5}, 5, 5, nil, []ackOut{ok(5)}},
		{"safe, then single", ackCore{ext: true, received: 5, wanted: 5}, 3, 5, nil, []ackOut{ok(3), one(5)}},
		{"single said before", ackCore{ext: true, received: 5, wanted: 5, safe: 3, single: 5}, 3, 5, nil, nil},
		{"safe after single", ackCore{ext: true, received: 5, wanted: 5, safe: 3, single: 5}, 5, 5, nil, []ackOut{ok(5)}},
		{"safe fell", ackCore{ext: true, received: 6, wanted: 6, safe: 5}, 0, 0, nil, nil},
		{"no more than was sent", ackCore{ext: true, received: 4, wanted: 4}, 9, 9, nil, []ackOut{ok(4)}},
		{"plain: settled", ackCore{received: 5, wanted: 5}, 3, 5, nil, []ackOut{ok(5)}},
		{"plain: not asked", ackCore{received: 5}, 5, 5, nil, nil},
		{"plain: asked for part", ackCore{received: 5, wanted: 2}, 5, 5, nil, []ackOut{ok(5)}},
		{"the example of the protocol", ackCore{received: 5, wanted: 5}, 5, 5, tomb(3), []ackOut{ok(2), bad(3), ok(5)}},
		{"plain: a tombstone waits until it is settled", ackCore{received: 5, wanted: 5}, 2, 2, tomb(3), []ackOut{ok(2)}},
		{"extended: it waits for what is before it", ackCore{ext: true, received: 5, wanted: 5}, 2, 2, tomb(3), []ackOut{ok(2), bad(3)}},
		{"extended: and no longer", ackCore{ext: true, received: 5, wanted: 5}, 1, 1, tomb(3), []ackOut{ok(1)}},
		{"single before the failure", ackCore{ext: true, received: 5, wanted: 5}, 1, 5, tomb(3), []ackOut{ok(1), one(2), bad(3), one(5)}},
		{"several", ackCore{ext: true, received: 4, wanted: 4}, 0, 0, tomb(1, 2, 4), []ackOut{bad(1), bad(2)}},
		{"told before", ackCore{ext: true, received: 5, wanted: 5, failed: 3}, 5, 5, tomb(3), []ackOut{ok(5)}},
		{"not sent in this session", ackCore{ext: true, received: 2, wanted: 2}, 5, 5, tomb(3), []ackOut{ok(2)}},
		{"a duplicate asks", ackCore{ext: true, received: 5, wanted: 5, safe: 5, failed: 5, again: true}, 5, 5, nil, []ackOut{ok(5)}},
		{"a duplicate asks, nothing is safe", ackCore{ext: true, received: 5, wanted: 5, again: true}, 0, 0, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.core.next(tt.safe, tt.settled, tt.tombs); !slices.Equal(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if tt.core.again {
				t.Error("asks for ever")
			}
		})
	}
}

// Whatever happens, no success passes what is safe or a tombstone that wasn't
// told, and no watermark is told twice.
func TestAckCoreProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ext := rapid.Bool().Draw(t, "ext")
		var core ackCore
		core.begin(ext, 0, 0)
		var all []journal.Tombstoned
		var have, lastSafe, lastSingle uint64
		told := map[uint64]bool{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			for range rapid.IntRange(0, 3).Draw(t, "publishes") {
				have++
				if rapid.Bool().Draw(t, "refused") {
					all = append(all, journal.Tombstoned{Sequence: have, Reason: "no"})
				}
				core.took(have, true)
			}
			settled := rapid.Uint64Range(0, have).Draw(t, "settled")
			safe := rapid.Uint64Range(0, settled).Draw(t, "safe")
			var tombs []journal.Tombstoned
			for _, x := range all {
				if x.Sequence > core.failed {
					tombs = append(tombs, x)
				}
			}
			for _, o := range core.next(safe, settled, tombs) {
				if o.failure {
					if told[o.sequence] {
						t.Fatalf("failure %d twice", o.sequence)
					}
					told[o.sequence] = true
					continue
				}
				for _, x := range all {
					if x.Sequence <= o.sequence && !told[x.Sequence] {
						t.Fatalf("%+v passes tombstone %d", o, x.Sequence)
					}
				}
				switch {
				case o.single && (o.sequence > settled || o.sequence <= max(lastSafe, lastSingle)):
					t.Fatalf("%+v with settled %d after %d", o, settled, lastSingle)
				case !o.single && (ext && o.sequence > safe || o.sequence > settled || o.sequence <= lastSafe):
					t.Fatalf("%+v with safe %d, settled %d after %d", o, safe, settled, lastSafe)
				}
				if o.single {
					lastSingle = o.sequence
				} else {
					lastSafe = o.sequence
				}
			}
		}
	})
}
