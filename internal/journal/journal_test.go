package journal_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

func TestAppendAssignsSequences(t *testing.T) {
	j := openForTest(t, memfs.New())
	for want := uint64(1); want <= 3; want++ {
		r := message(5, 0, "b")
		mustAppend(t, j, r, journal.Accepted)
		if r.Sequence != want || r.Prev != want-1 || r.Time == 0 || r.Next <= r.Position {
			t.Errorf("got %+v", r)
		}
	}
	g := &journal.Record{Kind: journal.Gone, Publisher: 5}
	mustAppend(t, j, g, journal.Accepted)
	if g.Sequence != 4 || g.Prev != 3 {
		t.Errorf("the gone marker got %d with predecessor %d", g.Sequence, g.Prev)
	}
}

func TestVerdicts(t *testing.T) {
	j := openForTest(t, memfs.New())
	fill(t, j, 1, 1, 3)
	mustAppend(t, j, message(1, 2, "1|2"), journal.Duplicate)
	mustAppend(t, j, message(1, 2, "something else"), journal.Differs)
	mustAppend(t, j, message(1, 5, "b"), journal.Hole)
	mustAppend(t, j, message(2, 2, "b"), journal.Hole)
	mustAppend(t, j, &journal.Record{Kind: journal.Tombstone, Publisher: 1, Sequence: 4, Prev: 3, Reason: []byte("no")}, journal.Accepted)
	mustAppend(t, j, message(1, 4, "b"), journal.Differs)
	mustAppend(t, j, &journal.Record{Kind: journal.Empty, Publisher: 1, Sequence: 5, Prev: 4}, journal.Accepted)
	mustAppend(t, j, &journal.Record{Kind: journal.Empty, Publisher: 1, Sequence: 5, Prev: 4}, journal.Duplicate)
	mustAppend(t, j, message(1, 5, "b"), journal.Differs)
	mustAppend(t, j, &journal.Record{Kind: journal.Tombstone, Publisher: 1, Sequence: 2, Prev: 1}, journal.Differs)
	mustAppend(t, j, &journal.Record{Kind: journal.Elsewhere, Publisher: 1, Sequence: 9, Prev: 5}, journal.Accepted)
	mustAppend(t, j, message(1, 8, "b"), journal.ContentUnknown)
	mustAppend(t, j, &journal.Record{Kind: journal.Gone, Publisher: 1, Sequence: 20, Prev: 10}, journal.Hole)
	mustAppend(t, j, &journal.Record{Kind: journal.Gone, Publisher: 1, Sequence: 20, Prev: 9, RunningCRC: 77}, journal.Accepted)
	mustAppend(t, j, &journal.Record{Kind: journal.Gone, Publisher: 1, Sequence: 20, Prev: 9}, journal.Duplicate)
	mustAppend(t, j, message(1, 21, "b"), journal.Accepted)
	if s := state(j, 1); s.Have != 21 || s.Floor != 0 {
		t.Errorf("%+v", s)
	}
	if got := j.Tombstones(1, 0); !reflect.DeepEqual(got, []journal.Refusal{{Sequence: 4, Reason: "no"}}) {
		t.Errorf("%+v", got)
	}
	if got := j.Tombstones(1, 4); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestAppendWithRaw(t *testing.T) {
	a, b := openForTest(t, memfs.New()), openForTest(t, memfs.New())
	for _, r := range samples[2:] {
		r.Publisher, r.Sequence = 1, r.Sequence-1
		r.Prev = max(r.Prev, 1) - 1
		if r.Kind == journal.Gone {
			r.Prev = min(r.Prev, 2)
		}
		if r.Cause == journal.Lost {
			continue // stands for the same numbers as the previous record
		}
		mustAppend(t, a, &r, journal.Accepted)
	}
	f := a.Follow(a.First(), journal.Appended)
	defer f.Close()
	var r journal.Record
	for {
		ok, err := f.Next(&r)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		var got journal.Record
		if err := record.Parse(r.Raw, &got); err != nil {
			t.Fatal(err)
		}
		if v, err := b.Append(&got); err != nil || v != journal.Accepted || !sameRecord(got, r) {
			t.Fatalf("%v, %v, got %+v, want %+v", v, err, got, r)
		}
	}
	if sa, sb := state(a, 1), state(b, 1); sa.Have != sb.Have || sa.RunningCRC != sb.RunningCRC {
		t.Errorf("%+v became %+v", sa, sb)
	}
	large := journal.Record{Kind: journal.Message, Publisher: 1, Sequence: 99, Prev: state(b, 1).Have, Raw: make([]byte, journal.MaxRecord+1)}
	if _, err := b.Append(&large); !errors.Is(err, journal.ErrTooLarge) {
		t.Errorf("a raw record that is too long: %v", err)
	}
}

func TestRunningCRCCoversCarriedTopics(t *testing.T) {
	carried := func(o *journal.Options) {
		o.Carried = func(topic []byte) bool { return string(topic) != "local" }
	}
	a, b := openForTest(t, memfs.New(), carried), openForTest(t, memfs.New(), carried)
	for _, j := range []*journal.Journal{a, b} {
		fill(t, j, 1, 1, 1)
	}
	mustAppend(t, a, &journal.Record{Kind: journal.Message, Publisher: 1, Sequence: 2, Prev: 1, Topic: []byte("local")}, journal.Accepted)
	mustAppend(t, b, &journal.Record{Kind: journal.Elsewhere, Publisher: 1, Sequence: 2, Prev: 1}, journal.Accepted)
	fill(t, a, 1, 3, 3)
	fill(t, b, 1, 3, 3)
	if x, y := state(a, 1).RunningCRC, state(b, 1).RunningCRC; x != y || x == 0 {
		t.Errorf("%#x and %#x", x, y)
	}
	c := openForTest(t, memfs.New(), carried)
	mustAppend(t, c, &journal.Record{Kind: journal.Gone, Publisher: 1, Sequence: 3, RunningCRC: state(a, 1).RunningCRC}, journal.Accepted)
	fill(t, a, 1, 4, 4)
	fill(t, c, 1, 4, 4)
	if x, y := state(a, 1).RunningCRC, state(c, 1).RunningCRC; x != y {
		t.Errorf("running CRC %#x, and after a gone marker %#x", x, y)
	}
}

func TestTooLargeIsNotAFailure(t *testing.T) {
	j := openForTest(t, memfs.New())
	large := message(1, 1, "")
	large.Raw = make([]byte, journal.MaxRecord+1)
	if _, err := j.Append(large); !errors.Is(err, journal.ErrTooLarge) {
		t.Errorf("%v", err)
	}
	fill(t, j, 1, 1, 1)
}

// An fsync does not cover a record that was appended while it ran (R7).
func TestAppendedDuringSyncIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newGatedFS(memfs.New())
		var reports durableReports
		j := mustOpen(t, disk, reports.use)
		disk.shut()
		fill(t, j, 1, 1, 1)
		synctest.Wait() // the first sync waits
		fill(t, j, 1, 2, 5)
		fill(t, j, 2, 1, 1)
		disk.next()
		synctest.Wait() // the first sync was reported, the second waits
		if reports.get(1) != 1 || state(j, 1).Durable != 1 || reports.get(2) != 0 || state(j, 2).Durable != 0 {
			t.Errorf("reported %v, %+v", reports.durable, j.States())
		}
		img := disk.Crash(memfs.Durable)
		disk.open()
		j.Kill()
		after := mustOpen(t, img)
		if had := state(after, 1).Have; had < reports.get(1) {
			t.Errorf("%d was reported durable, but after a power cut the journal has %d", reports.get(1), had)
		}
		verifyAndClose(t, after)
	})
}

// After a kill the tail may be in the page cache only. Records that the next process reports
// as durable must survive a power cut (R7, hard case 21).
func TestKillThenPowerCut(t *testing.T) {
	disk := newGatedFS(memfs.New())
	j := openForTest(t, disk)
	fill(t, j, 1, 1, 3)
	mustSync(t, j)
	disk.shut()
	fill(t, j, 1, 4, 6)
	<-disk.entered // written and not synced
	img := disk.Crash(memfs.KeepAll)
	disk.open()
	j.Kill()

	j = mustOpen(t, img)
	s := state(j, 1)
	if s.Have < 4 || s.Durable != s.Have {
		t.Fatalf("%+v", s)
	}
	j.Kill()
	j = openForTest(t, img.Crash(memfs.Durable))
	if after := state(j, 1); after.Have != s.Have {
		t.Errorf("%d was reported durable, but after a power cut the journal has %d", s.Have, after.Have)
	}
}

// While the disk works on one batch, the next one forms: two syncs for many appends.
func TestGroupCommit(t *testing.T) {
	disk := newGatedFS(memfs.New())
	var reports durableReports
	j := openForTest(t, disk, reports.use, func(o *journal.Options) { o.SegmentBytes = 1 << 20 })
	disk.shut()
	fill(t, j, 9, 1, 1)
	<-disk.entered
	for p := uint64(9); p > 0; p-- {
		fill(t, j, p, 1+p/9, 20)
	}
	disk.open()
	mustSync(t, j)
	j.Close()
	reports.mu.Lock()
	defer reports.mu.Unlock()
	if len(reports.calls) != 2 || !slices.Equal(reports.calls[0], []journal.Advance{{Publisher: 9, Sequence: 1}}) {
		t.Fatalf("OnDurable got %v", reports.calls)
	}
	for i, m := range reports.calls[1] {
		if want := (journal.Advance{Publisher: uint64(i + 1), Sequence: 20}); m != want {
			t.Errorf("moved %v, want %v", m, want)
		}
	}
}

func TestAppendBlocksOnSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newGatedFS(memfs.New())
		j := mustOpen(t, disk, func(o *journal.Options) { o.SegmentBytes = 0 })
		disk.shut()
		var mu sync.Mutex
		taken := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 30 {
				mustAppend(t, j, message(1, 0, strings.Repeat("x", 1<<20)), journal.Accepted)
				mu.Lock()
				taken++
				mu.Unlock()
			}
		}()
		synctest.Wait()
		mu.Lock()
		if taken < 9 || taken > 18 {
			t.Errorf("%d MiB were appended while the disk stood still", taken)
		}
		mu.Unlock()
		disk.open()
		<-done
		verifyAndClose(t, j)
	})
}

func TestBlockedAppendFailsWithJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newGatedFS(memfs.New())
		j := mustOpen(t, disk)
		disk.shut()
		errs := make(chan error, 1)
		go func() {
			var err error
			for i := 0; i < 40 && err == nil; i++ {
				_, err = j.Append(message(1, 0, strings.Repeat("x", 1<<20)))
			}
			errs <- err
		}()
		synctest.Wait()
		disk.FailSync(syscall.EIO)
		disk.open()
		if err := <-errs; !errors.Is(err, syscall.EIO) {
			t.Errorf("%v", err)
		}
		j.Close()
	})
}

func TestFailedDisk(t *testing.T) {
	for name, harm := range map[string]func(*memfs.FS){
		"sync":        func(d *memfs.FS) { d.FailSync(syscall.EIO) },
		"write":       func(d *memfs.FS) { d.FailNth(1, syscall.EIO) },
		"short write": func(d *memfs.FS) { d.ShortWriteNth(1, nil) },
		"full":        func(d *memfs.FS) { d.FailNth(1, syscall.ENOSPC) },
	} {
		t.Run(name, func(t *testing.T) {
			disk := memfs.New()
			var reports durableReports
			failed := make(chan error, 10)
			j := openForTest(t, disk, reports.use, func(o *journal.Options) { o.OnFail = func(err error) { failed <- err } })
			fill(t, j, 1, 1, 3)
			mustSync(t, j)
			fill(t, j, 1, 4, 4)
			mustSync(t, j)
			harm(disk)
			_, err := j.Append(message(1, 5, "b"))
			if err == nil { // otherwise the syncer's note was the next write
				err = j.Sync()
			}
			if err == nil {
				t.Fatal("no error")
			}
			if got := <-failed; got != j.Err() || !errors.Is(err, got) {
				t.Errorf("OnFail got %v, Err %v, Sync %v", got, j.Err(), err)
			}
			if _, again := j.Append(message(1, 6, "b")); !errors.Is(again, j.Err()) {
				t.Errorf("Append to a failed journal: %v", again)
			}
			if s := state(j, 1); s.Durable != 4 || reports.get(1) != 4 {
				t.Errorf("%+v, reported %d", s, reports.get(1))
			}
			if err := j.Close(); err == nil {
				t.Error("Close of a failed journal returns nil")
			}
			if len(failed) > 0 {
				t.Error("OnFail was called again")
			}
		})
	}
}

func TestClosed(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk)
	fill(t, j, 1, 1, 3)
	f := j.Follow(j.First(), journal.Durable)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(message(1, 4, "b")); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("Append: %v", err)
	}
	var r journal.Record
	if _, err := f.Next(&r); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("Next: %v", err)
	}
	if err := j.Sync(); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("Sync: %v", err)
	}
	f.Close()
	report, err := journals.Verify(disk, dir)
	if err != nil || report.Messages != 3 || report.Have[1] != 3 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestReopen(t *testing.T) {
	for _, how := range []string{"close", "kill", "power cut"} {
		t.Run(how, func(t *testing.T) {
			disk := memfs.New()
			j := mustOpen(t, disk)
			peers := []journal.Peer{{Name: "b", Sends: true}, {Name: "c", Sends: true, Sync: true}}
			for _, p := range []journal.Peer{peers[1], {Name: "b"}} {
				mustRememberPeer(t, j, p)
			}
			fill(t, j, 1, 1, 200) // over several segments
			mustRememberPeer(t, j, peers[0])
			fill(t, j, 2, 1, 7)
			mustAppend(t, j, &journal.Record{Kind: journal.Tombstone, Publisher: 2, Sequence: 8, Prev: 7, Reason: []byte("no")}, journal.Accepted)
			if err := j.NoteDegraded(journal.DegradedInterval{Destination: "b", Begin: time.UnixMicro(5), End: time.UnixMicro(9),
				Ranges: []journal.PublisherRange{{Publisher: 1, From: 2, To: 3}}}); err != nil {
				t.Fatal(err)
			}
			mustSync(t, j)
			want, intervals := j.States(), j.DegradedIntervals()
			switch how {
			case "close":
				j.Close()
			case "kill":
				j.Kill()
				disk = disk.Crash(memfs.KeepAll)
			case "power cut":
				j.Kill()
				disk = disk.Crash(memfs.Durable)
			}
			j = openForTest(t, disk)
			if got := j.States(); !reflect.DeepEqual(got, want) {
				t.Errorf("got %v\nwant %v", got, want)
			}
			if got := j.DegradedIntervals(); !reflect.DeepEqual(got, intervals) {
				t.Errorf("got %v\nwant %v", got, intervals)
			}
			if got := j.Peers(); !slices.Equal(got, peers) {
				t.Errorf("got %v\nwant %v", got, peers)
			}
			if got := j.Tombstones(2, 0); len(got) != 1 || got[0].Reason != "no" {
				t.Errorf("got %v", got)
			}
			mustAppend(t, j, message(1, 200, "other content"), journal.Differs)
			if at, v := j.DurableVector(); at != j.End() || !reflect.DeepEqual(v, bookmark.Vector{1: 200, 2: 8}) {
				t.Errorf("%v %v", at, v)
			}
		})
	}
}

func mustRememberPeer(t *testing.T, j *journal.Journal, p journal.Peer) {
	t.Helper()
	if err := j.RememberPeer(p); err != nil {
		t.Fatal(err)
	}
}

func TestTimeNeverGoesBack(t *testing.T) {
	disk, c := memfs.New(), newManualClock()
	use := func(o *journal.Options) { o.Now = c.Now }
	last := int64(0)
	for _, step := range []time.Duration{0, time.Hour, -2 * time.Hour, time.Second, -time.Hour, 5 * time.Hour} {
		c.add(step)
		j := mustOpen(t, disk, use)
		for range 3 {
			r := message(1, 0, "b")
			mustAppend(t, j, r, journal.Accepted)
			if r.Time < last {
				t.Errorf("after %v: %d is before %d", step, r.Time, last)
			}
			last = r.Time
			c.add(-time.Minute)
		}
		verifyAndClose(t, j)
	}
	if last < c.Now().UnixMicro() {
		t.Error("the time does not follow the clock")
	}
}

// OnAppend gets the last sequence of each publisher, also with concurrent appends.
func TestOnAppend(t *testing.T) {
	var mu sync.Mutex
	got := make(map[uint64]uint64)
	j := openForTest(t, memfs.New(), func(o *journal.Options) {
		o.SegmentBytes = 64 << 10
		o.OnAppend = func(p, s uint64) {
			mu.Lock()
			defer mu.Unlock()
			if s <= got[p] {
				t.Errorf("OnAppend got %d|%d after %d", p, s, got[p])
			}
			got[p] = s
		}
	})
	var wg sync.WaitGroup
	for p := range uint64(8) {
		wg.Go(func() { fill(t, j, p, 1, 300) })
	}
	wg.Wait()
	for p := range uint64(8) {
		if got[p] != 300 {
			t.Errorf("OnAppend got publisher %d only up to %d", p, got[p])
		}
	}
}

// An AppendBatch calls OnAppend once for adjacent records of one publisher: in Notify, or when
// it is full. Its records have the same time.
func TestAppendBatch(t *testing.T) {
	var notified []journal.Advance
	c := newManualClock()
	j := openForTest(t, memfs.New(), func(o *journal.Options) {
		o.Now = c.Now
		o.OnAppend = func(p, s uint64) { notified = append(notified, journal.Advance{Publisher: p, Sequence: s}) }
	})
	batch := j.NewAppendBatch()
	add := func(publisher, sequence uint64, want journal.Verdict) int64 {
		t.Helper()
		r := message(publisher, sequence, "b")
		if v, err := batch.Append(r); v != want || err != nil {
			t.Fatalf("verdict %v, %v, want %v", v, err, want)
		}
		c.add(time.Second)
		return r.Time
	}
	want := func(step, list string) {
		t.Helper()
		if got := fmt.Sprint(notified); got != list {
			t.Errorf("%s: notified %s, want %s", step, got, list)
		}
		notified = nil
	}
	first := add(1, 1, journal.Accepted)
	add(1, 2, journal.Accepted)
	add(2, 1, journal.Accepted)
	add(2, 1, journal.Duplicate)
	add(3, 3, journal.Hole)
	if last := add(1, 3, journal.Accepted); last != first {
		t.Errorf("records of one batch have times %d and %d", first, last)
	}
	mustSync(t, j)
	if s := state(j, 1); s.Durable != 3 {
		t.Errorf("%+v", s)
	}
	want("before Notify", "[]")
	batch.Notify()
	want("Notify", "[{1 2} {2 1} {1 3}]")
	batch.Notify()
	want("Notify of nothing", "[]")
	for n := uint64(2); n <= 64; n++ {
		add(2, n, journal.Accepted)
	}
	if next := add(1, 4, journal.Accepted); next <= first {
		t.Errorf("the next batch has the time of the previous one, %d", next)
	}
	want("64 records", "[{2 64} {1 4}]")
}

// OnAppend may call the journal, including Append.
func TestOnAppendHoldsNoLock(t *testing.T) {
	var j *journal.Journal
	ready := make(chan struct{})
	j = openForTest(t, memfs.New(), func(o *journal.Options) {
		o.OnAppend = func(p, s uint64) {
			<-ready
			if p == 1 && state(j, 1).Have >= s {
				j.Append(message(2, s, "b"))
			}
		}
	})
	close(ready)
	fill(t, j, 1, 1, 5)
	if s := state(j, 2); s.Have != 5 {
		t.Errorf("%+v", s)
	}
}

func TestAllocations(t *testing.T) {
	disk := newGatedFS(memfs.New())
	j := openForTest(t, disk, func(o *journal.Options) { o.SegmentBytes = 64 << 20 })
	f := j.Follow(j.First(), journal.Appended)
	defer f.Close()
	var got journal.Record
	r := message(1, 0, strings.Repeat("x", 200))
	step := func() {
		r.Sequence = 0
		if v, err := j.Append(r); err != nil || v != journal.Accepted {
			t.Fatal(v, err)
		}
		if ok, err := f.Next(&got); err != nil || !ok || got.Sequence != r.Sequence {
			t.Fatal(ok, err, got.Sequence)
		}
	}
	for range 5000 {
		step()
	}
	mustSync(t, j)
	disk.shut() // allocations of the syncer do not count: it allocates for many records
	step()
	<-disk.entered
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("append and follow: %v allocations", n)
	}
	raw, batch := encode(t, *message(2, 1, "b")), j.NewAppendBatch()
	if n := testing.AllocsPerRun(100, func() {
		if err := record.Parse(raw, &got); err != nil {
			t.Fatal(err)
		}
		if v, err := batch.Append(&got); err != nil || v != journal.Accepted {
			t.Fatal(v, err)
		}
		binary.LittleEndian.PutUint64(raw[16:], got.Sequence+1) // the next one
	}); n != 0 {
		t.Errorf("append raw records in a batch: %v allocations", n)
	}
	disk.open()
}
