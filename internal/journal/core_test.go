package journal

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

func TestAdmit(t *testing.T) {
	for _, tt := range []struct {
		name                 string
		have, prev, sequence uint64
		want                 Verdict
	}{
		{"the first", 0, 0, 1, Accepted},
		{"the next", 4, 4, 5, Accepted},
		{"the same again", 4, 3, 4, Duplicate},
		{"an old one", 4, 0, 1, Duplicate},
		{"a missing number", 4, 5, 6, Hole},
		{"a first record above 1", 0, 1, 2, Hole},
		{"the previous number was rejected elsewhere", 3, 3, 5, Accepted},
		{"the previous number was rejected here only", 4, 3, 5, Accepted},
		{"gone, below have", 4, 0, 3, Duplicate},
		{"gone, above have", 4, 0, 30, Accepted},
		{"a range that overlaps", 4, 2, 9, Accepted},
		{"a range that begins too late", 4, 5, 9, Hole},
	} {
		if got := admit(tt.have, tt.prev, tt.sequence); got != tt.want {
			t.Errorf("%s: admit(%d, %d, %d) = %d, want %d", tt.name, tt.have, tt.prev, tt.sequence, got, tt.want)
		}
	}
}

func TestMayMerge(t *testing.T) {
	for _, tt := range []struct {
		name string
		have uint64
		run  asideRun
		want bool
	}{
		{"follows", 4, asideRun{prev: 4, firstNumber: 5, last: 9}, true},
		{"begins below", 6, asideRun{prev: 4, firstNumber: 5, last: 9}, true},
		{"nothing new", 9, asideRun{prev: 4, firstNumber: 5, last: 9}, false},
		{"after a hole", 3, asideRun{prev: 4, firstNumber: 5, last: 9}, false},
		{"a gone marker jumps", 4, asideRun{prev: 0, firstNumber: 9, last: 9}, false},
		{"a gone marker does not jump", 8, asideRun{prev: 0, firstNumber: 9, last: 9}, true},
		{"after a tombstone that is missing", 3, asideRun{prev: 3, firstNumber: 5, last: 5}, false},
		{"a range", 4, asideRun{prev: 4, firstNumber: 5, last: 9}, true},
	} {
		if got := mayMerge(tt.have, tt.run); got != tt.want {
			t.Errorf("%s: mayMerge(%d, %+v) = %v", tt.name, tt.have, tt.run, got)
		}
	}
}

func TestExpendable(t *testing.T) {
	const hour = int64(time.Hour / time.Microsecond)
	segs := make([]segment, 5) // of 100 bytes and an hour each
	for i := range segs {
		segs[i] = segment{first: Position(100 * i), end: Position(100 * (i + 1)), bytes: 100, summary: summary{
			from: 1000 * hour, to: 1000 * hour, age: hour*int64(i+1) - 1, highest: []bookmark.Bookmark{{Publisher: 1, Sequence: uint64(i + 1)}}}}
	}
	needed := func(from uint64) func(bookmark.Vector) bool {
		return func(v bookmark.Vector) bool { return v[1] >= from }
	}
	for _, tt := range []struct {
		name    string
		durable Position
		now     int64
		r       Retention
		want    int
	}{
		{"no bounds", 500, 100 * hour, Retention{}, 0},
		{"age", 500, 5 * hour, Retention{Age: 3 * time.Hour}, 2},
		{"age of all segments: the last one stays", 500, 100 * hour, Retention{Age: time.Hour}, 4},
		{"bytes", 500, 5 * hour, Retention{Bytes: 300}, 2},
		{"the bound that removes more counts", 500, 5 * hour, Retention{Age: 3 * time.Hour, Bytes: 200}, 3},
		{"needed", 500, 5 * hour, Retention{Bytes: 1, SegmentNeeded: needed(2)}, 1},
		{"not durable", 250, 5 * hour, Retention{Bytes: 1}, 2},
	} {
		if got := expendable(segs, 500, tt.durable, moment{age: tt.now}, tt.r); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestRingAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var g ring
		model := make(map[uint64]uint32)
		top, bytes := uint64(0), 0
		steps := rapid.SliceOfN(rapid.SampledFrom([]uint64{1, 1, 1, 1, 1, 1, 2, 17, 5000, 1 << 40}), 1, 200).Draw(t, "steps")
		many := rapid.IntRange(1, 60).Draw(t, "many")
		for i, step := range steps {
			for range many {
				top += step
				step = 1
				bytes += g.put(top, uint32(i+1))
				model[top] = uint32(i + 1)
			}
		}
		if bytes != sumBytes*len(g.sums) || len(g.sums) > maxRing {
			t.Fatalf("a ring of %d entries reports %d bytes", len(g.sums), bytes)
		}
		for s := top; s > 0 && s+5000 > top; s-- {
			if got := g.get(s); got != model[s] && !(got == 0 && top-s >= uint64(len(g.sums))) {
				t.Fatalf("get(%d) = %d, want %d; top %d", s, got, model[s], top)
			}
		}
		if g.get(top+1) != 0 {
			t.Fatal("get returns a sum that was never put in")
		}
	})
}

func TestRingGrowsToNewest4096(t *testing.T) {
	var g ring
	for s := uint64(1); s <= 10000; s++ {
		g.put(s, uint32(s))
		if lowest := max(int64(s)-maxRing+1, 1); g.get(uint64(lowest)) != uint32(lowest) {
			t.Fatalf("at %d: %d is not known", s, lowest)
		}
	}
}

func TestRingsAreBounded(t *testing.T) {
	tb := newTable(nil)
	tb.rings.maxBytes = 3 * minRing * sumBytes
	for id := range uint64(5) {
		tb.apply(&Record{Kind: Message, Publisher: id, Sequence: 1}, 9)
		tb.apply(&Record{Kind: Message, Publisher: 0, Sequence: 2 + id}, 9) // stays in use
	}
	var kept []uint64
	for _, p := range tb.sorted() {
		if len(p.ring.sums) > 0 {
			kept = append(kept, p.id)
		}
	}
	if !reflect.DeepEqual(kept, []uint64{0, 3, 4}) || tb.rings.bytes != tb.rings.maxBytes {
		t.Errorf("kept the rings of %v, %d bytes", kept, tb.rings.bytes)
	}
}

// Sums from the replay of the log are newer than sums from older segments.
func TestRingsReattach(t *testing.T) {
	s := rings{maxBytes: maxRingBytes}
	a, b, c := &publisher{id: 1}, &publisher{id: 2}, &publisher{id: 3}
	s.put(a, 5, 15)
	s.put(b, math.MaxUint64-1, 28) // the highest numbers
	s.put(b, math.MaxUint64, 29)
	s.put(a, 7, 17)
	newer := s.detachAll()
	s.put(c, 1, 31)
	for sequence := uint64(2); sequence <= 5; sequence++ {
		s.put(a, sequence, uint32(10+sequence))
	}
	s.reattach(newer)
	for sequence, want := range []uint32{0, 0, 12, 13, 14, 15, 0, 17, 0} {
		if got := a.ring.get(uint64(sequence)); got != want {
			t.Errorf("content of 1|%d is %d, want %d", sequence, got, want)
		}
	}
	if b.ring.get(math.MaxUint64-1) != 28 || b.ring.get(math.MaxUint64) != 29 || c.ring.get(1) != 31 {
		t.Error("contents of 2 or 3 are not known")
	}
	var order []uint64 // newest first
	for e := s.order.Front(); e != nil; e = e.Next() {
		order = append(order, e.Value.(*publisher).id)
	}
	if !slices.Equal(order, []uint64{1, 2, 3}) || s.bytes != 3*minRing*sumBytes {
		t.Errorf("%v, %d bytes", order, s.bytes)
	}
}

// drawTable makes a table from random records.
func drawTable(t *rapid.T) *table {
	tb := newTable(func(topic []byte) bool { return len(topic) != 1 })
	for i := range rapid.IntRange(0, 60).Draw(t, "records") {
		p := rapid.Uint64Range(1, 5).Draw(t, "publisher") << 60
		have := uint64(0)
		if known := tb.byID[p]; known != nil {
			have = known.have
		}
		r := Record{Kind: Kind(rapid.IntRange(int(Message), int(Elsewhere)).Draw(t, "kind")), Publisher: p,
			Sequence: have + rapid.Uint64Range(1, 3).Draw(t, "step"), Prev: have, Time: int64(1000 + i), Next: ledger.Position(i + 1),
			Topic:  make([]byte, rapid.IntRange(0, 2).Draw(t, "topic")),
			Reason: []byte(rapid.SampledFrom([]string{"", "no", "too large"}).Draw(t, "reason")),
			User:   []byte(rapid.SampledFrom([]string{"", "joe", "ann"}).Draw(t, "user")),
		}
		tb.apply(&r, sumOf(&r))
		if rapid.IntRange(0, 9).Draw(t, "floor") == 0 {
			tb.applyFloors([]bookmark.Bookmark{{Publisher: p, Sequence: r.Sequence}})
		}
		if rapid.IntRange(0, 9).Draw(t, "interval") == 0 {
			tb.applyInterval(DegradedInterval{Destination: "b", Begin: time.UnixMicro(int64(i + 1)),
				Ranges: []PublisherRange{{Publisher: p, From: 1, To: r.Sequence}}})
		}
		if rapid.IntRange(0, 9).Draw(t, "settled") == 0 {
			tb.applyDecreeUsed([]uint64{p})
		}
		if rapid.IntRange(0, 19).Draw(t, "decree") == 0 {
			tb.applyDecree(agedDecree{age: int64(i) - 30, Decree: Decree{
				Incarnation: tb.decree.Incarnation + 1, ID: uint64(i), Members: []string{"c"}, Lost: []string{"a", "b"},
				Time: time.UnixMicro(int64(i)), Ended: i%2 == 0,
			}})
		}
	}
	return tb
}

func tableText(tb *table) string {
	text := fmt.Sprint(tb.lastTime, tb.intervals)
	if tb.decree.Incarnation > 0 {
		text += fmt.Sprint(tb.decree)
	}
	for _, p := range tb.sorted() {
		text += fmt.Sprintf("\n%+v seen %d %v", p.state(), p.seen, p.newestTombstones())
		if tb.decree.Incarnation > 0 {
			text += fmt.Sprint(p.usedDecree)
		}
	}
	return text
}

func TestHeadRestoresTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tb := drawTable(t)
		head := tb.Head()
		got := newTable(nil)
		if err := got.RecoverHead(head); err != nil {
			t.Fatal(err)
		}
		if tableText(got) != tableText(tb) {
			t.Fatalf("got %s\nwant %s", tableText(got), tableText(tb))
		}
		for n := range head { // a truncated head is an error, and nothing panics
			if err := newTable(nil).RecoverHead(head[:n]); err == nil && n > 0 {
				t.Fatalf("%d of %d bytes were accepted as a head", n, len(head))
			}
		}
		s, err := decodeSummary(tb.Summary())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range tb.sorted() {
			if s.highestOf(p.id) != p.have || vectorOf(s.highest)[p.id] != p.have {
				t.Fatalf("summary has %d up to %d, want %d", p.id, s.highestOf(p.id), p.have)
			}
		}
		if got := tb.summary(); len(got.highest) != 0 || got.last != 0 {
			t.Fatalf("the next segment's summary begins with %+v", got)
		}
	})
}

func FuzzHead(f *testing.F) {
	tb := newTable(nil)
	tb.apply(&Record{Kind: Tombstone, Publisher: 9, Sequence: 3, Time: 5, Reason: []byte("no"), User: []byte("joe")}, 0)
	tb.applyInterval(DegradedInterval{Destination: "b", Begin: time.UnixMicro(9), Ranges: []PublisherRange{{1, 2, 3}}})
	f.Add(tb.Head())
	f.Add(payload(change{time: 3, kind: stateInterval, interval: tb.intervals[0]}))
	f.Add(payload(change{time: 3, kind: stateFloors, list: []bookmark.Bookmark{{Publisher: 1, Sequence: 2}}}))
	f.Add(payload(change{time: 3, kind: stateForgotten, ids: []uint64{4}}))
	f.Add(payload(change{time: 3, kind: stateOwners, owners: []PublisherOwner{{4, "joe"}}}))
	f.Add(payload(change{time: 3, kind: stateCluster, cluster: Cluster{ID: ClusterID{1}, Intact: true}}))
	f.Add(payload(change{time: 3, kind: stateDecreeUsed, ids: []uint64{4}}))
	f.Add(payload(change{time: 3, kind: stateDecree, decree: agedDecree{Decree: Decree{Incarnation: 1, Lost: []string{"b"}}, age: -5}}))
	f.Add(tb.Summary())
	f.Fuzz(func(t *testing.T, b []byte) {
		newTable(nil).RecoverHead(b)
		newTable(nil).Recover(seglog.Record{Kind: uint8(kindState), Payload: b})
		newTable(nil).Recover(seglog.Record{Kind: uint8(Message), Payload: b})
		if s, err := decodeSummary(b); err == nil {
			s.decodeOutline()
		}
	})
}

func payload(x change) []byte { return x.payload() }

// A summary of another version is refused.
func TestSummaryOfAnotherVersion(t *testing.T) {
	b := appendSummary(nil, summary{from: 5, to: 6, age: 7, last: 40})
	if s, err := decodeSummary(b); err != nil || s.age != 7 {
		t.Errorf("%+v %v", s, err)
	}
	for _, version := range []byte{1, 2, 4} {
		b[0] = version
		if s, err := decodeSummary(b); err == nil {
			t.Errorf("version %d was accepted: %+v", version, s)
		}
	}
}

// The bound on bookmarks limits the number of extents in an outline.
func TestOutlineIsBounded(t *testing.T) {
	const segment, record = 64 << 20, 256
	for _, tt := range []struct {
		publishers         uint64
		extents, bookmarks int // of the outline, about
	}{{1, 64, 64}, {100, 64, 6400}, {1000, 8, 8000}, {8000, 1, 8000}, {100_000, 0, 0}} {
		tb := newTable(nil)
		tb.extents = newRecentExtents(segment)
		at := Position(0)
		for n := uint64(0); at < segment; n, at = n+1, at+record {
			tb.apply(&Record{Kind: Elsewhere, Publisher: n % tt.publishers, Sequence: n/tt.publishers + 1, Position: ledger.Position(at), Next: ledger.Position(at + record)}, 0)
		}
		s, err := decodeSummary(tb.Summary())
		if err != nil {
			t.Fatal(err)
		}
		list, rest, err := s.decodeOutline()
		if err != nil || rest > at {
			t.Fatal(rest, err)
		}
		bookmarks := 0
		for _, s := range list {
			bookmarks += len(s.highest)
		}
		if len(list) < tt.extents*3/4 || len(list) > tt.extents || bookmarks < tt.bookmarks*3/4 || bookmarks > maxOutlineBookmarks {
			t.Errorf("%d publishers: %d extents, %d bookmarks, %d bytes", tt.publishers, len(list), bookmarks, len(s.outline))
		}
	}
}

// A damaged outline is an error, and nothing panics.
func TestOutlineIsChecked(t *testing.T) {
	tb := newTable(nil)
	tb.extents = newRecentExtents(1 << 10)
	for n := range uint64(40) {
		tb.apply(&Record{Kind: Elsewhere, Publisher: n % 3, Sequence: n/3 + 1, Position: ledger.Position(100 * n), Next: ledger.Position(100*n + 100)}, 0)
	}
	s, err := decodeSummary(tb.Summary())
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(s.outline); n++ {
		cut := s
		cut.outline = s.outline[:n]
		if _, _, err := cut.decodeOutline(); err == nil {
			t.Errorf("%d of %d bytes were accepted as an outline", n, len(s.outline))
		}
	}
}

func TestTombstonesAreBounded(t *testing.T) {
	tb := newTable(nil)
	for s := uint64(1); s <= 5000; s++ {
		tb.apply(&Record{Kind: Tombstone, Publisher: 1, Sequence: s, Prev: s - 1, Reason: []byte("no")}, 0)
	}
	ts := tb.byID[1].newestTombstones()
	if len(ts) != maxTombstones || ts[0].Sequence != 5000-maxTombstones+1 || ts[len(ts)-1].Sequence != 5000 {
		t.Errorf("%d tombstones, from %d to %d", len(ts), ts[0].Sequence, ts[len(ts)-1].Sequence)
	}
}

func TestIntervalsAreBounded(t *testing.T) {
	tb := newTable(nil)
	for i := range 3 * maxIntervals {
		tb.applyInterval(DegradedInterval{Destination: "b", Begin: time.UnixMicro(int64(i + 1)), Ranges: make([]PublisherRange, maxRanges/512)})
	}
	ranges := 0
	for _, i := range tb.intervals {
		ranges += len(i.Ranges)
	}
	if len(tb.intervals) > maxIntervals || ranges > maxRanges || tb.intervals[len(tb.intervals)-1].Begin.UnixMicro() != 3*maxIntervals {
		t.Errorf("%d intervals with %d ranges", len(tb.intervals), ranges)
	}
}
