package journal_test

import (
	"bytes"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A publisher that was silent for longer than retention continues at its number, also after a
// restart (R2, hard case 27).
func TestTrimKeepsHave(t *testing.T) {
	disk, c := memfs.New(), newManualClock()
	use := func(o *journal.Options) { o.Now = c.Now }
	j := mustOpen(t, disk, use)
	fill(t, j, 1, 1, 10)
	mustAppend(t, j, &journal.Record{Kind: journal.Tombstone, Publisher: 1, Sequence: 11, Prev: 10, Reason: []byte("no")}, journal.Accepted)
	crc := state(j, 1).RunningCRC
	c.add(30 * time.Minute)
	fill(t, j, 2, 1, 200)
	mustSync(t, j)
	c.add(61 * time.Minute)
	n, err := j.Trim(journal.Retention{Age: time.Hour})
	if err != nil || n == 0 {
		t.Fatal(n, err)
	}
	check := func() {
		t.Helper()
		if s := state(j, 1); s.Have != 11 || s.Durable != 11 || s.Floor != 11 || s.RunningCRC != crc {
			t.Fatalf("%+v", s)
		}
		if floor := j.Floors(); floor[1] != 11 || floor[2] == 200 {
			t.Fatalf("%v", floor)
		}
		if ts := j.Tombstones(1, 10); len(ts) != 1 {
			t.Fatalf("%v", ts)
		}
	}
	check()
	verifyAndClose(t, j)
	for _, m := range []memfs.Mode{memfs.KeepAll, memfs.Durable} {
		j = mustOpen(t, disk, use)
		check()
		fill(t, j, 2, state(j, 2).Have+1, state(j, 2).Have+100) // through more heads
		mustSync(t, j)
		if _, err := j.Trim(journal.Retention{Bytes: 8 << 10}); err != nil {
			t.Fatal(err)
		}
		check()
		j.Kill()
		disk = disk.Crash(m)
	}
	j = mustOpen(t, disk, use)
	defer verifyAndClose(t, j)
	check()
	mustAppend(t, j, message(1, 11, "b"), journal.ContentUnknown)
	mustAppend(t, j, message(1, 13, "b"), journal.Hole)
	fill(t, j, 1, 12, 12)
}

func TestTrimForgetsSilentPublishers(t *testing.T) {
	disk, c := memfs.New(), newManualClock()
	use := func(o *journal.Options) { o.Now = c.Now }
	j := mustOpen(t, disk, use)
	for p := range uint64(3) {
		fill(t, j, p, 1, 5)
	}
	trim := func() {
		t.Helper()
		fill(t, j, 9, state(j, 9).Have+1, state(j, 9).Have+100)
		mustSync(t, j)
		if _, err := j.Trim(journal.Retention{Age: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	known := func(want ...uint64) {
		t.Helper()
		var got []uint64
		for _, s := range j.States() {
			got = append(got, s.Publisher)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("the journal knows %v, want %v", got, want)
		}
	}
	quarters := func(n int) {
		t.Helper()
		for range n {
			c.add(15 * time.Minute)
			trim()
		}
	}
	trim()
	quarters(18)
	known(0, 1, 2, 9)
	j.Touch(1)
	quarters(1)
	known(1, 9)
	if got, want := j.GroupClock(), (journal.GroupClock{Now: 20, Forgotten: 2}); got != want {
		t.Fatalf("group clock %+v, want %+v", got, want)
	}
	verifyAndClose(t, j)
	j = mustOpen(t, disk, use)
	known(1, 9)
	// The publisher comes back, and a marker says which messages it let go (R10).
	mustAppend(t, j, message(2, 6, "b"), journal.Hole)
	mustAppend(t, j, &journal.Record{Kind: journal.Gone, Publisher: 2, Sequence: 4}, journal.Accepted)
	fill(t, j, 2, 5, 6)
	verifyAndClose(t, j)
	j = mustOpen(t, disk, use)
	defer verifyAndClose(t, j)
	if s := state(j, 2); s.Have != 6 || s.Floor != 4 {
		t.Errorf("%+v", s)
	}
}

func TestTrimKeepsNeededSegments(t *testing.T) {
	j := openForTest(t, memfs.New())
	fill(t, j, 1, 1, 300)
	mustSync(t, j)
	var calls []uint64
	n, err := j.Trim(journal.Retention{Bytes: 1, SegmentNeeded: func(v bookmark.Vector) bool {
		calls = append(calls, v[1])
		return v[1] > 100
	}})
	if err != nil || n != len(calls)-1 || n == 0 {
		t.Fatal(n, err, calls)
	}
	if s := state(j, 1); s.Floor != calls[n-1] || s.Floor > 100 {
		t.Errorf("%+v, SegmentNeeded was called with %v", s, calls)
	}
}

// After a power cut anywhere in Trim, the floors cover all removed messages (R2).
func TestCrashDuringTrim(t *testing.T) {
	for n := 1; ; n++ {
		disk := memfs.New()
		j := mustOpen(t, disk)
		fill(t, j, 1, 1, 150)
		mustSync(t, j)
		disk.CrashAt(n)
		j.Trim(journal.Retention{Bytes: 1})
		done := !disk.Crashed()
		j.Kill()
		for _, m := range memfs.Modes(uint64(n)) {
			j := mustOpen(t, disk.Crash(m))
			first := uint64(math.MaxUint64)
			f := j.Follow(j.First(), journal.Durable)
			var r journal.Record
			if ok, err := f.Next(&r); err != nil {
				t.Fatal(err)
			} else if ok {
				first = r.Sequence
			}
			f.Close()
			if s := state(j, 1); s.Have != 150 || s.Floor+1 < first {
				t.Fatalf("crash at %d, %s: %+v, the first record is %d", n, m.Name, s, first)
			}
			verifyAndClose(t, j)
		}
		if done {
			return
		}
	}
}

func TestDegradedIntervals(t *testing.T) {
	disk, c := memfs.New(), newManualClock()
	use := func(o *journal.Options) { o.Now = c.Now }
	j := mustOpen(t, disk, use)
	at := c.Now()
	record := func(i journal.DegradedInterval) {
		t.Helper()
		if err := j.NoteDegraded(i); err != nil {
			t.Fatal(err)
		}
	}
	record(journal.DegradedInterval{Destination: "b", Begin: at.Add(time.Nanosecond)})
	record(journal.DegradedInterval{Destination: "a", Begin: at.Add(-time.Hour)})
	record(journal.DegradedInterval{Destination: "b", Begin: at, End: at.Add(time.Minute), Ranges: []journal.PublisherRange{{Publisher: 1, From: 2, To: 3}}})
	check := func(want ...string) {
		t.Helper()
		var got []string
		for _, i := range j.DegradedIntervals() {
			got = append(got, i.Destination)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	check("a", "b")
	verifyAndClose(t, j)
	j = mustOpen(t, disk, use)
	defer func() { verifyAndClose(t, j) }()
	check("a", "b")
	if i := j.DegradedIntervals()[1]; !i.End.Equal(at.Add(time.Minute)) || len(i.Ranges) != 1 {
		t.Errorf("%+v", i)
	}
	c.add(2 * time.Minute)
	fill(t, j, 1, 1, 200)
	mustSync(t, j)
	if _, err := j.Trim(journal.Retention{Bytes: 1}); err != nil {
		t.Fatal(err)
	}
	check("a") // its interval has not ended
}

// The running CRC of the removed messages stays known, also after a restart and with a marker
// above it. A link sends it with its gone marker (R11).
func TestTrimKeepsRunningCRC(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk)
	crcs := make(map[uint64]uint32)
	for n := uint64(1); n <= 300; n++ {
		fill(t, j, 1, n, n)
		fill(t, j, 2, n, n)
		crcs[n] = state(j, 1).RunningCRC
	}
	mustSync(t, j)
	if s := state(j, 1); s.Removed != 0 || s.RemovedCRC != 0 {
		t.Fatalf("%+v before anything was removed", s)
	}
	n, err := j.Trim(journal.Retention{FreeBytes: 8 << 10})
	if err != nil || n == 0 {
		t.Fatal(n, err)
	}
	check := func(floor uint64) {
		t.Helper()
		s := state(j, 1)
		if s.Removed == 0 || s.Removed >= 300 || s.RemovedCRC != crcs[s.Removed] || s.Floor != max(s.Removed, floor) {
			t.Fatalf("%+v, the running CRC there was %d", s, crcs[s.Removed])
		}
	}
	check(0)
	j.Kill()
	disk = disk.Crash(memfs.KeepAll)
	j = mustOpen(t, disk)
	check(0)
	mustAppend(t, j, &journal.Record{Kind: journal.Gone, Publisher: 1, Sequence: 400, RunningCRC: 7}, journal.Accepted)
	check(0)
	verifyAndClose(t, j)
	j = mustOpen(t, disk)
	defer verifyAndClose(t, j)
	check(0)
}

// The floors stay known even if their record is damaged before a note says that it is durable.
// The record then looks like a torn tail.
func TestFloorsSurviveDamagedRecord(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk)
	fill(t, j, 1, 1, 200)
	fill(t, j, 2, 1, 200)
	mustSync(t, j)
	if n, err := j.Trim(journal.Retention{Bytes: 1}); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	if err := j.Kill(); err != nil {
		t.Fatal(err)
	}
	want := j.Floors()
	disk = disk.Crash(memfs.Durable)
	names := disk.Names()
	last := names[len(names)-1]
	b, err := disk.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	disk.FlipBits(last, int64(len(bytes.TrimRight(b, "\x00"))-1), 1)
	for range 2 {
		j = mustOpen(t, disk)
		if floors := j.Floors(); !reflect.DeepEqual(floors, want) || floors[1] != 200 {
			t.Errorf("floors are %v, want %v", floors, want)
		}
		verifyAndClose(t, j)
	}
}

// With many publishers most of a segment is its head. Retention by size counts heads, so that
// it removes neither too much nor too little.
func TestTrimBySizeCountsHeads(t *testing.T) {
	j := openForTest(t, memfs.New())
	for p := range uint64(500) {
		fill(t, j, p+1, 1, 1)
	}
	fill(t, j, 1, 2, 3000)
	mustSync(t, j)
	const maxBytes = 600 << 10
	before := j.Size()
	if _, err := j.Trim(journal.Retention{Bytes: maxBytes}); err != nil {
		t.Fatal(err)
	}
	if after := j.Size(); before < 2*maxBytes || after > maxBytes*5/4 || after < maxBytes*3/4 { // a new segment and its head may have begun
		t.Errorf("of %d bytes %d are left, want about %d", before, after, maxBytes)
	}
}
