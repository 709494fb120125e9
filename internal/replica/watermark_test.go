package replica

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

func TestWatermarks(t *testing.T) {
	const p = 7
	type dest struct {
		sync, up, out bool
		durable       uint64
	}
	for _, tt := range []struct {
		name          string
		local         uint64
		dests         []dest
		safe, settled uint64
		single        bool
	}{
		{"a lone instance", 9, nil, 9, 9, false},
		{"the peer's disk decides", 9, []dest{{true, true, false, 5}}, 5, 5, false},
		{"a peer ahead of our disk", 5, []dest{{true, true, false, 9}}, 5, 5, false},
		{"a peer that does not know the publisher", 5, []dest{{true, true, false, 0}}, 0, 0, false},
		{"the slowest of two", 9, []dest{{true, true, false, 7}, {true, true, false, 5}}, 5, 5, false},
		{"a peer that is away", 9, []dest{{true, false, false, 5}}, 0, 0, false},
		{"a peer that is away and downgraded", 9, []dest{{true, false, true, 5}}, 0, 9, true},
		{"a downgraded peer that lags", 9, []dest{{true, true, true, 5}}, 5, 9, true},
		{"one of two downgraded", 9, []dest{{true, true, true, 2}, {true, true, false, 5}}, 2, 5, true},
		{"async doesn't count", 9, []dest{{true, true, false, 7}, {false, true, false, 3}}, 7, 7, false},
		{"async that is away doesn't count", 9, []dest{{true, true, false, 7}, {false, false, false, 0}}, 7, 7, false},
		{"async alone is no second disk", 9, []dest{{false, true, false, 9}}, 0, 9, true},
		{"one that is only replicated to", 9, []dest{}, 0, 9, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var syncs []bool
			if tt.dests != nil {
				syncs = make([]bool, len(tt.dests))
			}
			for i, d := range tt.dests {
				syncs[i] = d.sync
			}
			w := NewWatermarks(syncs)
			for i, d := range tt.dests {
				w.Connected(i, bookmark.Vector{p: d.durable})
				if !d.up {
					w.Disconnected(i)
				}
				w.LeaveOut(i, d.out)
			}
			if got := w.Safe(p, tt.local); got != tt.safe {
				t.Errorf("safe = %d, want %d", got, tt.safe)
			}
			if got := w.Settled(p, tt.local); got != tt.settled {
				t.Errorf("settled = %d, want %d", got, tt.settled)
			}
			if got := w.Single(); got != tt.single {
				t.Errorf("single = %v, want %v", got, tt.single)
			}
		})
	}
}

func TestWatermarkEndsWithConnection(t *testing.T) {
	const p = 7
	w := NewWatermarks([]bool{true})
	w.Connected(0, bookmark.Vector{p: 3})
	w.Acked(0, bookmark.Bookmark{Publisher: p, Sequence: 8})
	w.Acked(0, bookmark.Bookmark{Publisher: p, Sequence: 6})
	if got := w.Safe(p, 9); got != 8 {
		t.Fatalf("safe = %d after acks up to 8", got)
	}
	w.Disconnected(0)
	w.Acked(0, bookmark.Bookmark{Publisher: p, Sequence: 9}) // late, of the connection that ended
	if got := w.Safe(p, 9); got != 0 {
		t.Errorf("safe = %d while the peer is away", got)
	}
	w.Connected(0, bookmark.Vector{p: 2}) // on a disk that lost acknowledged records
	if got := w.Safe(p, 9); got != 2 {
		t.Errorf("safe = %d, want the number in the new connection's hello", got)
	}
}

// The watermarks equal those computed from their definition.
func TestWatermarksAgainstDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		syncs := rapid.SliceOfN(rapid.Bool(), 0, 3).Draw(t, "syncs")
		lone := len(syncs) == 0 && rapid.Bool().Draw(t, "lone")
		if lone {
			syncs = nil
		}
		w := NewWatermarks(syncs)
		durable := make([]map[uint64]uint64, len(syncs)) // nil: away
		out := make([]bool, len(syncs))
		local := map[uint64]uint64{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			p := rapid.Uint64Range(1, 3).Draw(t, "publisher")
			s := rapid.Uint64Range(1, 9).Draw(t, "sequence")
			local[p] = max(local[p], rapid.Uint64Range(0, 9).Draw(t, "local"))
			if len(syncs) > 0 {
				i := rapid.IntRange(0, len(syncs)-1).Draw(t, "dest")
				switch rapid.IntRange(0, 3).Draw(t, "event") {
				case 0:
					durable[i] = map[uint64]uint64{p: s}
					w.Connected(i, bookmark.Vector{p: s})
				case 1:
					durable[i] = nil
					w.Disconnected(i)
				case 2:
					if durable[i] != nil {
						durable[i][p] = max(durable[i][p], s)
					}
					w.Acked(i, bookmark.Bookmark{Publisher: p, Sequence: s})
				case 3:
					out[i] = syncs[i] && !out[i]
					w.LeaveOut(i, out[i])
				}
			}
			wantSafe, wantSettled, any := local[p], local[p], false
			for i := range syncs {
				if syncs[i] {
					any = true
					wantSafe = min(wantSafe, durable[i][p])
					if !out[i] {
						wantSettled = min(wantSettled, durable[i][p])
					}
				}
			}
			if !lone && !any {
				wantSafe = 0
			}
			safe, settled := w.Safe(p, local[p]), w.Settled(p, local[p])
			if safe != wantSafe || settled != wantSettled {
				t.Fatalf("safe, settled = %d, %d, want %d, %d", safe, settled, wantSafe, wantSettled)
			}
			if settled < safe {
				t.Fatalf("settled %d is below safe %d", settled, safe)
			}
		}
	})
}
