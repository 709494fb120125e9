package journal_test

import (
	"fmt"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

func goneMarker(publisher, from, to uint64, cause journal.Cause) *journal.Record {
	return &journal.Record{Kind: journal.Gone, Publisher: publisher, Prev: from - 1, Sequence: to, Cause: cause}
}

// appendAllKinds appends records of every kind of publisher 1, among the records of another
// publisher. More records follow than there are sums in memory.
func appendAllKinds(t *testing.T, j *journal.Journal) {
	fill(t, j, 1, 1, 20)
	mustAppend(t, j, &journal.Record{Kind: journal.Tombstone, Publisher: 1, Sequence: 5000, Prev: 20, Reason: []byte("rejected elsewhere")}, journal.Accepted)
	mustAppend(t, j, &journal.Record{Kind: journal.Empty, Publisher: 1, Sequence: 5001, Prev: 5000}, journal.Accepted)
	mustAppend(t, j, &journal.Record{Kind: journal.Elsewhere, Publisher: 1, Sequence: 5005, Prev: 5001}, journal.Accepted)
	fill(t, j, 2, 1, 300)
	mustAppend(t, j, goneMarker(1, 5006, 5010, journal.Removed), journal.Accepted)
	mustAppend(t, j, goneMarker(1, 5011, 5020, journal.Lost), journal.Accepted)
	fill(t, j, 1, 5021, 10000)
}

// Lookup gives the same result from memory and from the log, in any order of numbers, and after
// a restart.
func TestLookup(t *testing.T) {
	disk := memfs.New()
	use := func(o *journal.Options) { o.SegmentBytes = 64 << 10 }
	j := mustOpen(t, disk, use)
	appendAllKinds(t, j)
	check := func() {
		t.Helper()
		b := j.NewAppendBatch()
		for _, tt := range []struct {
			sequence uint64
			want     journal.RecordInfo
		}{
			{3, journal.RecordInfo{Kind: journal.Message, Same: true}},
			{21, journal.RecordInfo{Kind: journal.Tombstone, Reason: "rejected elsewhere"}},
			{3000, journal.RecordInfo{Kind: journal.Tombstone, Reason: "rejected elsewhere"}},
			{5000, journal.RecordInfo{Kind: journal.Tombstone, Reason: "rejected elsewhere", Listed: true}},
			{5001, journal.RecordInfo{Kind: journal.Empty}},
			{5003, journal.RecordInfo{Kind: journal.Elsewhere}},
			{5006, journal.RecordInfo{Kind: journal.Gone}},
			{5020, journal.RecordInfo{Kind: journal.Gone, Cause: journal.Lost}},
			{5021, journal.RecordInfo{Kind: journal.Message, Same: true}},
			{20, journal.RecordInfo{Kind: journal.Message, Same: true}},
			{9999, journal.RecordInfo{Kind: journal.Message, Same: true}},
			{10001, journal.RecordInfo{}},
		} {
			got, err := b.Lookup(message(1, tt.sequence, fmt.Sprintf("1|%d", tt.sequence)), true)
			if err != nil || got != tt.want {
				t.Errorf("Lookup of %d: %+v, %v, want %+v", tt.sequence, got, err, tt.want)
			}
		}
		for _, sequence := range []uint64{2, 9998} {
			if got, err := b.Lookup(message(1, sequence, "other"), true); err != nil || got != (journal.RecordInfo{Kind: journal.Message}) {
				t.Errorf("Lookup of %d: %+v, %v", sequence, got, err)
			}
		}
		b.Notify()
		for sequence, want := range map[uint64]journal.RecordInfo{3: {}, 5000: {Kind: journal.Tombstone, Reason: "rejected elsewhere", Listed: true},
			5003: {}, 5015: {Kind: journal.Gone, Cause: journal.Lost}} {
			if got, err := b.Lookup(message(1, sequence, "x"), false); err != nil || got != want {
				t.Errorf("Lookup of %d in memory: %+v, %v, want %+v", sequence, got, err, want)
			}
		}
	}
	check()
	mustSync(t, j)
	j.Kill()
	j = mustOpen(t, disk, use)
	check()
	n, err := j.Trim(journal.Retention{Bytes: 1})
	if err != nil || n == 0 || state(j, 1).Floor < 5021 {
		t.Fatalf("%d segments were removed, %v: %+v", n, err, state(j, 1))
	}
	j.Kill()
	j = mustOpen(t, disk, use)
	defer verifyAndClose(t, j)
	b := j.NewAppendBatch()
	for sequence, cause := range map[uint64]journal.Cause{3: journal.Removed, 5006: journal.Removed, 5015: journal.Lost} {
		if got, err := b.Lookup(message(1, sequence, "x"), false); err != nil || got != (journal.RecordInfo{Kind: journal.Gone, Cause: cause}) {
			t.Errorf("Lookup of %d below the floor: %+v, %v", sequence, got, err)
		}
	}
}

// A marker raises the floor only if it directly follows the floor.
func TestMarkerAndFloor(t *testing.T) {
	j := openForTest(t, memfs.New())
	mustAppend(t, j, goneMarker(1, 1, 9, journal.Removed), journal.Accepted)
	mustAppend(t, j, goneMarker(1, 10, 12, journal.Removed), journal.Accepted)
	if s := state(j, 1); s.Floor != 12 {
		t.Errorf("%+v, want the floor 12: no message up to 12 was ever here", s)
	}
	fill(t, j, 1, 13, 14)
	mustAppend(t, j, goneMarker(1, 15, 20, journal.Removed), journal.Accepted)
	mustAppend(t, j, goneMarker(2, 1, 5, journal.LetGo), journal.Accepted)
	mustAppend(t, j, goneMarker(3, 1, 5, journal.Lost), journal.Accepted)
	if f := j.Floors(); f[1] != 12 || f[2] != 0 || f[3] != 0 {
		t.Errorf("floors %v", f)
	}
}

// The number of holes is bounded. A hole that is made of several counts as lost.
func TestManyHoles(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk)
	for n := range uint64(100) {
		fill(t, j, 1, 10*n+1, 10*n+9)
		mustAppend(t, j, goneMarker(1, 10*n+10, 10*n+10, journal.Removed), journal.Accepted)
	}
	fill(t, j, 1, 1001, 1300)
	mustSync(t, j)
	if _, err := j.Trim(journal.Retention{Bytes: 1}); err != nil {
		t.Fatal(err)
	}
	verifyAndClose(t, j)
	j = mustOpen(t, disk)
	defer verifyAndClose(t, j)
	b := j.NewAppendBatch()
	for sequence, cause := range map[uint64]journal.Cause{10: journal.Lost, 990: journal.Removed} {
		if got, err := b.Lookup(message(1, sequence, "x"), false); err != nil || got.Kind != journal.Gone || got.Cause != cause {
			t.Errorf("Lookup of %d: %+v, %v", sequence, got, err)
		}
	}
}
