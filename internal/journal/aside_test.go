package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

func setAside(o *journal.Options) { o.SetAside = true }

func largeSegments(o *journal.Options) { o.SegmentBytes = 16 << 10 }

// damageBody flips a bit of a message's body in the files of the journal.
func damageBody(t testing.TB, disk *memfs.FS, body string) {
	t.Helper()
	names, err := disk.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := disk.OpenFile(dir+"/"+name, 0)
		if err != nil {
			continue
		}
		size, _ := f.Size()
		b := make([]byte, size)
		f.ReadAt(b, 0)
		f.Close()
		if at := bytes.Index(b, []byte(body)); at >= 0 {
			disk.Flip(dir+"/"+name, int64(at))
			return
		}
	}
	t.Fatalf("%q is in no file", body)
}

// twoPublishers makes a journal of two publishers, and a copy of it on another disk.
func twoPublishers(t testing.TB, n uint64) (disk *memfs.FS, peer *journal.Journal) {
	t.Helper()
	disk = memfs.New()
	peer = openForTest(t, memfs.New(), largeSegments)
	j := mustOpen(t, disk, largeSegments)
	for _, j := range []*journal.Journal{j, peer} {
		for s := uint64(1); s <= n; s++ {
			mustAppend(t, j, message(1, s, fmt.Sprintf("<1|%d>", s)), journal.Accepted)
			if s%7 == 0 {
				mustAppend(t, j, &journal.Record{Kind: journal.Tombstone, Publisher: 2, Sequence: s, Prev: s - 1, Reason: []byte("no")}, journal.Accepted)
			} else {
				mustAppend(t, j, message(2, s, fmt.Sprintf("<2|%d>", s)), journal.Accepted)
			}
		}
	}
	verifyAndClose(t, j)
	return disk, peer
}

// replicate appends to j the records of peer that it lacks, as a link would, and returns their
// number.
func replicate(t testing.TB, peer, j *journal.Journal) (sent int) {
	t.Helper()
	f := peer.Follow(peer.First(), journal.Appended)
	defer f.Close()
	var r journal.Record
	for {
		ok, err := f.Next(&r)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return sent
		}
		if r.Sequence <= state(j, r.Publisher).Have {
			continue
		}
		if v, err := j.Append(&r); err != nil || v != journal.Accepted {
			t.Fatalf("%s: %d, %v", recordText(&r), v, err)
		}
		sent++
	}
}

func wantSameStates(t testing.TB, a, b *journal.Journal) {
	t.Helper()
	x, y := a.States(), b.States()
	for i := range max(len(x), len(y)) {
		if len(x) != len(y) || x[i].Have != y[i].Have || x[i].RunningCRC != y[i].RunningCRC {
			t.Fatalf("%+v\n%+v", x, y)
		}
	}
}

func TestDamageIsRefused(t *testing.T) {
	disk, _ := twoPublishers(t, 40)
	damageBody(t, disk, "<1|20>")
	_, err := journal.Open(journal.Options{FS: disk, Dir: dir})
	var d *seglog.DamageError
	if !errors.As(err, &d) {
		t.Fatalf("%v", err)
	}
}

// Damage is repaired with records from a peer and with those after the damage (R8).
func TestMerge(t *testing.T) {
	disk, peer := twoPublishers(t, 40)
	damageBody(t, disk, "<1|20>")
	j := mustOpen(t, disk, largeSegments, setAside)
	if j.Damage() == nil || state(j, 1).Have != 19 || state(j, 2).Have != 19 || state(j, 2).Durable != 19 {
		t.Fatalf("%v, %+v", j.Damage(), j.States())
	}
	if n, err := j.Trim(journal.Retention{Bytes: 1}); n != 0 || err != nil {
		t.Errorf("trimmed %d segments of a damaged journal, %v", n, err)
	}
	// The peer sends one record of each publisher; the rest are set-aside records.
	if sent := replicate(t, peer, j); sent != 2 {
		t.Errorf("%d records came from the peer", sent)
	}
	wantSameStates(t, peer, j)
	if j.Damage() == nil {
		t.Error("the damage is repaired before FinishMerge")
	}
	j.Kill()

	// The merge is not finished, so Open fails without SetAside.
	if _, err := journal.Open(journal.Options{FS: disk, Dir: dir}); err == nil {
		t.Error("Open without SetAside reports no damage")
	}
	j = mustOpen(t, disk, largeSegments, setAside)
	if j.Damage() == nil {
		t.Error("Open with SetAside reports no damage")
	}
	replicate(t, peer, j)
	if err := j.FinishMerge(); err != nil || j.Damage() != nil {
		t.Fatal(err, j.Damage())
	}
	fill(t, j, 1, 41, 41)
	verifyAndClose(t, j)
	j = openForTest(t, disk)
	fill(t, peer, 1, 41, 41)
	wantSameStates(t, peer, j)
}

// If no peer has the damaged records, gone markers replace them and everything else is there.
func TestFinishMergeWithoutPeer(t *testing.T) {
	disk, _ := twoPublishers(t, 40)
	damageBody(t, disk, "<1|20>")
	damageBody(t, disk, "<1|30>")
	j := mustOpen(t, disk, largeSegments, setAside)
	if err := j.FinishMerge(); err != nil {
		t.Fatal(err)
	}
	if s := state(j, 1); s.Have != 40 || s.Floor != 0 || state(j, 2).Have != 40 || state(j, 2).Floor != 0 {
		t.Errorf("%+v", j.States())
	}
	gone := map[uint64]bool{}
	for _, r := range readAll(t, j) {
		if r.Kind == journal.Gone {
			gone[r.Sequence] = true
		}
	}
	if len(gone) != 2 || !gone[20] || !gone[30] {
		t.Errorf("gone markers at %v", gone)
	}
	verifyAndClose(t, j)
	j = openForTest(t, disk)
	report, err := journals.VerifyOpen(j, disk, dir)
	if err != nil || report.Messages != 38+35 {
		t.Errorf("%+v, %v", report, err)
	}
}

// The journal appends no more records of a diverged publisher, and no marker for its damaged
// messages. Everything else is repaired.
func TestFinishMergeWithDiverged(t *testing.T) {
	disk, _ := twoPublishers(t, 40)
	damageBody(t, disk, "<1|20>")
	damageBody(t, disk, "<1|30>")
	j := mustOpen(t, disk, largeSegments, setAside)
	mustDiverge(t, j, 1, 5)
	if err := j.FinishMerge(); err != nil {
		t.Fatal(err)
	}
	if s := state(j, 1); s.Have >= 20 || state(j, 2).Have != 40 || j.Damage() != nil {
		t.Errorf("%+v, %v", j.States(), j.Damage())
	}
	verifyAndClose(t, j)
}

// The set-aside records restore the floors and the degraded intervals after the damage.
func TestAsideKeepsFloorsAndIntervals(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk)
	fill(t, j, 1, 1, 200)
	mustAppend(t, j, message(2, 1, "<damaged>"), journal.Accepted)
	mustSync(t, j)
	if _, err := j.Trim(journal.Retention{Bytes: 1}); err != nil {
		t.Fatal(err)
	}
	floor := state(j, 1).Floor
	if err := j.NoteDegraded(journal.DegradedInterval{Destination: "b", Begin: time.UnixMicro(7)}); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, j, message(2, 2, "b"), journal.Accepted)
	verifyAndClose(t, j)
	damageBody(t, disk, "<damaged>")
	for range 2 {
		j = mustOpen(t, disk, setAside)
		if s := state(j, 1); s.Floor != floor || len(j.DegradedIntervals()) != 1 {
			t.Errorf("%+v, want the floor %d; %v", s, floor, j.DegradedIntervals())
		}
		j.Kill()
	}
	j = mustOpen(t, disk, setAside)
	if err := j.FinishMerge(); err != nil {
		t.Fatal(err)
	}
	verifyAndClose(t, j)
	j = openForTest(t, disk)
	if s := state(j, 1); s.Floor != floor || len(j.DegradedIntervals()) != 1 {
		t.Errorf("%+v, want the floor %d; %v", s, floor, j.DegradedIntervals())
	}
}

// A marker after the damage must not make the journal refuse records that a peer still sends.
func TestGoneMarkerWaitsForThePeers(t *testing.T) {
	disk, peer := memfs.New(), openForTest(t, memfs.New(), largeSegments)
	j := mustOpen(t, disk, largeSegments)
	for _, j := range []*journal.Journal{j, peer} {
		for s := uint64(1); s <= 5; s++ {
			mustAppend(t, j, message(1, s, fmt.Sprintf("<1|%d>", s)), journal.Accepted)
		}
		mustAppend(t, j, &journal.Record{Kind: journal.Gone, Publisher: 1, Sequence: 10, RunningCRC: 5}, journal.Accepted)
		fill(t, j, 1, 11, 12)
	}
	verifyAndClose(t, j)
	damageBody(t, disk, "<1|4>")
	damageBody(t, disk, "<1|5>")
	j = openForTest(t, disk, largeSegments, setAside)
	replicate(t, peer, j)
	if err := j.FinishMerge(); err != nil {
		t.Fatal(err)
	}
	wantSameStates(t, peer, j)
	if report, err := journals.VerifyOpen(j, disk, dir); err != nil || report.Messages != 7 {
		t.Errorf("%+v, %v", report, err)
	}
}

// The damage is in an old segment, of which Open needs the summary only.
func TestDamageInOldSegment(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk)
	for s := uint64(1); s <= 200; s++ {
		mustAppend(t, j, message(1, s, fmt.Sprintf("<1|%d>", s)), journal.Accepted)
	}
	verifyAndClose(t, j)
	damageBody(t, disk, "<1|20>")
	damageBody(t, disk, "<1|150>")
	_, err := journal.Open(journal.Options{FS: disk, Dir: dir})
	var d *seglog.DamageError
	if !errors.As(err, &d) {
		t.Fatalf("%v", err)
	}
	j = openForTest(t, disk, setAside)
	if err := j.FinishMerge(); err != nil {
		t.Fatal(err)
	}
	if report, err := journals.VerifyOpen(j, disk, dir); err != nil || report.Messages != 198 || report.Have[1] != 200 {
		t.Errorf("%+v, %v", report, err)
	}
}

// A reader finds damage in an old segment, and the next start repairs it.
func TestDamageFoundByReader(t *testing.T) {
	disk, peer := memfs.New(), openForTest(t, memfs.New())
	j := mustOpen(t, disk)
	for _, j := range []*journal.Journal{j, peer} {
		for s := uint64(1); s <= 200; s++ {
			mustAppend(t, j, message(1, s, fmt.Sprintf("<1|%d>", s)), journal.Accepted)
		}
	}
	verifyAndClose(t, j)
	j = mustOpen(t, disk)
	damageBody(t, disk, "<1|20>")
	f := j.Follow(j.First(), journal.Durable)
	var r journal.Record
	var err error
	for ok := true; ok && err == nil; {
		ok, err = f.Next(&r)
	}
	f.Close()
	var d *seglog.DamageError
	if !errors.As(err, &d) || r.Sequence != 19 {
		t.Fatalf("%v after %d", err, r.Sequence)
	}
	j.Close()
	j = openForTest(t, disk, setAside)
	if sent := replicate(t, peer, j); sent != 1 {
		t.Errorf("%d records came from the peer", sent)
	}
	if err := j.FinishMerge(); err != nil {
		t.Fatal(err)
	}
	wantSameStates(t, peer, j)
}

// A crash at any step of the merge loses nothing.
func TestCrashDuringMerge(t *testing.T) {
	for n := 1; ; n++ {
		disk, peer := twoPublishers(t, 12)
		damageBody(t, disk, "<1|5>")
		disk.CrashAt(n)
		j, err := journal.Open(journal.Options{FS: disk, Dir: dir, SetAside: true})
		if err == nil {
			tryMerge(peer, j)
			j.Kill()
		}
		done := !disk.Crashed()
		for _, m := range memfs.Modes(uint64(n)) {
			j := mustOpen(t, disk.Crash(m), largeSegments, setAside)
			replicate(t, peer, j)
			if err := j.FinishMerge(); err != nil {
				t.Fatal(err)
			}
			wantSameStates(t, peer, j)
			verifyAndClose(t, j)
		}
		peer.Close()
		if done {
			return
		}
	}
}

// tryMerge does the same as TestMerge, on a disk that may crash.
func tryMerge(peer, j *journal.Journal) {
	f := peer.Follow(peer.First(), journal.Appended)
	defer f.Close()
	var r journal.Record
	for ok, err := f.Next(&r); ok && err == nil; ok, err = f.Next(&r) {
		if r.Sequence > state(j, r.Publisher).Have {
			j.Append(&r)
		}
	}
	j.FinishMerge()
}

// If a message is damaged on every disk that had it, a publisher that still keeps it gets a
// refusal: here, on a peer that receives the marker, and after a restart.
func TestLostMessageIsRefused(t *testing.T) {
	disk, peer := twoPublishers(t, 12)
	peer.Close()
	damageBody(t, disk, "<1|5>")
	j := mustOpen(t, disk, setAside)
	if err := j.FinishMerge(); err != nil {
		t.Fatal(err)
	}
	refused := func(j *journal.Journal) {
		t.Helper()
		ts := j.Tombstones(1, 0)
		if len(ts) != 1 || ts[0].Sequence != 5 || ts[0].Reason == "" {
			t.Errorf("tombstones are %+v, want one at 5", ts)
		}
		if s := state(j, 1); s.Have != 12 || s.Floor != 0 {
			t.Errorf("%+v", s)
		}
	}
	refused(j)
	other := openForTest(t, memfs.New())
	replicate(t, j, other)
	refused(other)
	verifyAndClose(t, j)
	again := mustOpen(t, disk)
	defer verifyAndClose(t, again)
	refused(again)
}
