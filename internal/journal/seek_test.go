package journal_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// readAll reads the journal from its beginning.
func readAll(t testingT, j *journal.Journal) []journal.Record {
	t.Helper()
	f := j.Follow(j.First(), journal.Appended)
	defer f.Close()
	var rs []journal.Record
	for {
		var r journal.Record
		ok, err := f.Next(&r)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return rs
		}
		r.Topic, r.Body, r.Reason, r.User = bytes.Clone(r.Topic), bytes.Clone(r.Body), bytes.Clone(r.Reason), bytes.Clone(r.User)
		rs = append(rs, r)
	}
}

// Seeking gives the same result as reading the whole journal.
func TestSeek(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		disk, c := memfs.New(), newManualClock()
		start := c.Now()
		use := func(o *journal.Options) { o.Now, o.SegmentBytes = c.Now, 1<<10 }
		j := mustOpen(t, disk, use)
		defer func() { verifyAndClose(t, j) }()
		before := make(bookmark.Vector) // of the trimmed records
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			switch p := rapid.Uint64Range(0, 3).Draw(t, "publisher"); rapid.IntRange(0, 11).Draw(t, "step") {
			case 0:
				had := readAll(t, j)
				mustSync(t, j)
				if _, err := j.Trim(journal.Retention{Bytes: 4 << 10}); err != nil {
					t.Fatal(err)
				}
				first := j.First()
				for _, r := range had {
					if journal.Position(r.Position) < first {
						before[r.Publisher] = r.Sequence
					}
				}
			case 1:
				verifyAndClose(t, j)
				j = mustOpen(t, disk, use)
			case 2:
				c.add(time.Duration(rapid.IntRange(-3, 9).Draw(t, "minutes")) * time.Minute)
			case 3:
				mustAppend(t, j, &journal.Record{Kind: journal.Elsewhere, Publisher: p, Sequence: state(j, p).Have + 3, Prev: state(j, p).Have}, journal.Accepted)
			default:
				for range 4 {
					mustAppend(t, j, message(p, 0, "some body"), journal.Accepted)
				}
			}
		}
		mustSync(t, j)
		rs := readAll(t, j)
		checkSeekVector(t, j, rs)
		checkSeekTime(t, j, rs, before, start)
		checkFind(t, j, rs)
	})
}

func checkSeekVector(t *rapid.T, j *journal.Journal, rs []journal.Record) {
	v := make(bookmark.Vector)
	for p := range uint64(4) {
		v[p] = rapid.Uint64Range(0, state(j, p).Have+1).Draw(t, "covered")
	}
	at, err := j.SeekVector(v)
	if err != nil {
		t.Fatal(err)
	}
	covered := true
	for _, r := range rs {
		ok := v.Covers(bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence})
		if journal.Position(r.Position) < at && !ok {
			t.Fatalf("%v is not covered by %v, but is before %v", recordText(&r), v, at)
		}
		covered = covered && ok
	}
	if covered && at != j.End() {
		t.Fatalf("%v covers all, but the position is %v, not %v", v, at, j.End())
	}
}

func checkSeekTime(t *rapid.T, j *journal.Journal, rs []journal.Record, before bookmark.Vector, start time.Time) {
	when := start.Add(time.Duration(rapid.IntRange(-1, 120).Draw(t, "minutes")) * time.Minute)
	at, v, err := j.SeekTime(when)
	if err != nil {
		t.Fatal(err)
	}
	want, vector := j.End(), maps.Clone(before)
	for _, r := range rs {
		if r.Time >= when.UnixMicro() {
			want = journal.Position(r.Position)
			break
		}
		vector[r.Publisher] = r.Sequence
	}
	if at != want || !maps.Equal(v, vector) {
		t.Fatalf("from %v: got %v %v, want %v %v", when, at, v, want, vector)
	}
}

func checkFind(t *rapid.T, j *journal.Journal, rs []journal.Record) {
	for range 5 {
		list := make([]bookmark.Bookmark, rapid.IntRange(1, 4).Draw(t, "bookmarks"))
		for n := range list {
			list[n].Publisher = rapid.Uint64Range(0, 4).Draw(t, "p")
			list[n].Sequence = rapid.Uint64Range(0, state(j, list[n].Publisher).Have+2).Draw(t, "s")
		}
		at, found, err := j.Find(list, nil)
		if err != nil {
			t.Fatal(err)
		}
		wantFound, want := false, journal.Position(0)
		for _, r := range slices.Backward(rs) {
			if r.Kind == journal.Message && slices.Contains(list, bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence}) {
				wantFound, want = true, journal.Position(r.Position)
			}
		}
		if found != wantFound || at != want {
			t.Fatalf("%v: got %v %v, want %v %v", list, found, at, wantFound, want)
		}
	}
}

// The vector of a position by time is that of the durable log (R9).
func TestSeekTimeIsDurable(t *testing.T) {
	disk, c := newGatedFS(memfs.New()), newManualClock()
	j := openForTest(t, disk, func(o *journal.Options) { o.Now = c.Now })
	fill(t, j, 1, 1, 2)
	mustSync(t, j)
	durable := j.DurableEnd()
	c.add(time.Hour)
	disk.shut()
	fill(t, j, 1, 3, 4)
	at, v, err := j.SeekTime(c.Now().Add(time.Minute))
	if err != nil || at != durable || v[1] != 2 {
		t.Errorf("%v %v %v, want %v", at, v, err, durable)
	}
	disk.open()
}

// A resume does not read a segment from its start. This holds for the segment that is being
// written and for a sealed one, also after the journal was opened again.
func TestSeekVectorIsNear(t *testing.T) {
	for _, segment := range []int64{64 << 20, 1 << 20} {
		disk, use := memfs.New(), func(o *journal.Options) { o.SegmentBytes = segment }
		j := mustOpen(t, disk, use)
		body := strings.Repeat("x", 1000)
		for n := range uint64(3000) {
			mustAppend(t, j, message(n%3, n/3+1, body), journal.Accepted)
		}
		for range 2 {
			for _, seen := range []uint64{1, 300, 500, 650, 990, 1000} {
				at, err := j.SeekVector(bookmark.Vector{0: seen, 1: seen, 2: min(seen, 995)})
				if err != nil {
					t.Fatal(err)
				}
				f := j.Follow(at, journal.Appended)
				n := uint64(len(readAvailable(t, f)))
				f.Close()
				if left := 3 * (1000 - min(seen, 995)); n+3 < left || n > left+300 {
					t.Errorf("segments of %d bytes, %d of 1000 messages of each of three publishers seen: %d records to read", segment, seen, n)
				}
			}
			verifyAndClose(t, j)
			j = mustOpen(t, disk, use)
		}
		verifyAndClose(t, j)
	}
}

// Find reads the journal once, however long the list is. It ends when stop returns true.
func TestFindIsOnePass(t *testing.T) {
	for _, segment := range []int64{64 << 20, 1 << 20} {
		j := mustOpen(t, memfs.New(), func(o *journal.Options) { o.SegmentBytes = segment })
		body := strings.Repeat("x", 1000)
		for n := range uint64(3000) {
			mustAppend(t, j, &journal.Record{Kind: journal.Elsewhere, Publisher: n % 3, Sequence: 2*(n/3) + 1, Prev: 2 * (n / 3)}, journal.Accepted)
			mustAppend(t, j, message(n%3, 2*(n/3)+2, body), journal.Accepted)
		}
		var list []bookmark.Bookmark // numbers with an elsewhere marker, and the last number
		for s := range uint64(999) {
			list = append(list, bookmark.Bookmark{Publisher: 1, Sequence: 2*s + 1})
		}
		list = append(list, bookmark.Bookmark{Publisher: 2, Sequence: 2000})
		calls, stops := 0, false
		stop := func() bool { calls++; return stops }
		at, found, err := j.Find(list, stop)
		if err != nil || !found || at == 0 {
			t.Errorf("%v %v %v", at, found, err)
		}
		if calls > 10 {
			t.Errorf("segments of %d bytes: stop was called %d times in 6000 records", segment, calls)
		}
		stops = true
		if _, found, err = j.Find(list, stop); found || err != nil {
			t.Errorf("Find found a record although stop returned true: %v", err)
		}
		verifyAndClose(t, j)
	}
}
