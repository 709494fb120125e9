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

func large(o *journal.Options) { o.SegmentBytes = 16 << 10 }

// damage flips a bit of a message's body in the files of the journal.
func damage(t testing.TB, disk *memfs.FS, body string) {
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

// interleaved makes a journal of two publishers, and a copy of it on another disk.
func interleaved(t testing.TB, n uint64) (disk *memfs.FS, peer *journal.Journal) {
	t.Helper()
	disk = memfs.New()
	peer = open(t, memfs.New(), large)
	j := openOn(t, disk, large)
	for _, j := range []*journal.Journal{j, peer} {
		for s := uint64(1); s <= n; s++ {
			put(t, j, message(1, s, fmt.Sprintf("<1|%d>", s)), journal.Accepted)
			if s%7 == 0 {
				put(t, j, &journal.Record{Kind: journal.Tombstone, Publisher: 2, Sequence: s, Prev: s - 1, Reason: []byte("no")}, journal.Accepted)
			} else {
				put(t, j, message(2, s, fmt.Sprintf("<2|%d>", s)), journal.Accepted)
			}
		}
	}
	end(t, j)
	return disk, peer
}

// send gives j the records of peer that it lacks, as a link would, and returns the number
// lookup records that were taken.
func send(t testing.TB, peer, j *journal.Journal) (sent int) {
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
			t.Fatalf("%s: %d, %v", text(&r), v, err)
		}
		sent++
	}
}

func sameStates(t testing.TB, a, b *journal.Journal) {
	t.Helper()
	x, y := a.States(), b.States()
	for i := range max(len(x), len(y)) {
		if len(x) != len(y) || x[i].Have != y[i].Have || x[i].RunningCRC != y[i].RunningCRC {
			t.Fatalf("%+v\n%+v", x, y)
		}
	}
}

func TestDamageIsRefused(t *testing.T) {
	disk, _ := interleaved(t, 40)
	damage(t, disk, "<1|20>")
	_, err := journal.Open(journal.Options{FS: disk, Dir: dir})
	var d *seglog.DamageError
	if !errors.As(err, &d) {
		t.Fatalf("%v", err)
	}
}

// Damage is healed with records from a peer and with those behind the damage (R8).
func TestMerge(t *testing.T) {
	disk, peer := interleaved(t, 40)
	damage(t, disk, "<1|20>")
	j := openOn(t, disk, large, setAside)
	if j.Damage() == nil || state(j, 1).Have != 19 || state(j, 2).Have != 19 || state(j, 2).Durable != 19 {
		t.Fatalf("%v, %+v", j.Damage(), j.States())
	}
	if n, err := j.Trim(journal.Retention{Bytes: 1}); n != 0 || err != nil {
		t.Errorf("trimmed %d segments of a damaged journal, %v", n, err)
	}
	// The peer sends one record of each publisher; the rest comes from behind the damage.
	if sent := send(t, peer, j); sent != 2 {
		t.Errorf("%d records came from the peer", sent)
	}
	sameStates(t, peer, j)
	if j.Damage() == nil {
		t.Error("healed before the peers have said so")
	}
	j.Kill()

	// The journal is not healed yet, so opening it without SetAside is refused.
	if _, err := journal.Open(journal.Options{FS: disk, Dir: dir}); err == nil {
		t.Error("opened without a word")
	}
	j = openOn(t, disk, large, setAside)
	if j.Damage() == nil {
		t.Error("forgotten")
	}
	send(t, peer, j)
	if err := j.FinishMerge(); err != nil || j.Damage() != nil {
		t.Fatal(err, j.Damage())
	}
	fill(t, j, 1, 41, 41)
	end(t, j)
	j = open(t, disk)
	fill(t, peer, 1, 41, 41)
	sameStates(t, peer, j)
}

// If no peer has the damaged records, the hole is marked and everything else is there.
func TestHealedAlone(t *testing.T) {
	disk, _ := interleaved(t, 40)
	damage(t, disk, "<1|20>")
	damage(t, disk, "<1|30>")
	j := openOn(t, disk, large, setAside)
	if err := j.FinishMerge(); err != nil {
		t.Fatal(err)
	}
	if s := state(j, 1); s.Have != 40 || s.Floor != 0 || state(j, 2).Have != 40 || state(j, 2).Floor != 0 {
		t.Errorf("%+v", j.States())
	}
	gone := map[uint64]bool{}
	for _, r := range all(t, j) {
		if r.Kind == journal.Gone {
			gone[r.Sequence] = true
		}
	}
	if len(gone) != 2 || !gone[20] || !gone[30] {
		t.Errorf("gone markers at %v", gone)
	}
	end(t, j)
	j = open(t, disk)
	report, err := journals.VerifyOpen(j, disk, dir)
	if err != nil || report.Messages != 38+35 {
		t.Errorf("%+v, %v", report, err)
	}
}

// No more records of a diverged publisher are taken, and its damaged messages are not
// marked. Everything else is healed.
func TestHealedWithDiverged(t *testing.T) {
	disk, _ := interleaved(t, 40)
	damage(t, disk, "<1|20>")
	damage(t, disk, "<1|30>")
	j := openOn(t, disk, large, setAside)
	diverge(t, j, 1, 5)
	if err := j.FinishMerge(); err != nil {
		t.Fatal(err)
	}
	if s := state(j, 1); s.Have >= 20 || state(j, 2).Have != 40 || j.Damage() != nil {
		t.Errorf("%+v, %v", j.States(), j.Damage())
	}
	end(t, j)
}

// The set-aside records bring back the floors of messages that retention had removed
// meanwhile.
func TestAsideKeepsFloorsAndIntervals(t *testing.T) {
	disk := memfs.New()
	j := openOn(t, disk)
	fill(t, j, 1, 1, 200)
	put(t, j, message(2, 1, "<damaged>"), journal.Accepted)
	synced(t, j)
	if _, err := j.Trim(journal.Retention{Bytes: 1}); err != nil {
		t.Fatal(err)
	}
	floor := state(j, 1).Floor
	if err := j.NoteDegraded(journal.DegradedInterval{Destination: "b", Begin: time.UnixMicro(7)}); err != nil {
		t.Fatal(err)
	}
	put(t, j, message(2, 2, "b"), journal.Accepted)
	end(t, j)
	damage(t, disk, "<damaged>")
	for range 2 {
		j = openOn(t, disk, setAside)
		if s := state(j, 1); s.Floor != floor || len(j.DegradedIntervals()) != 1 {
			t.Errorf("%+v, want the floor %d; %v", s, floor, j.DegradedIntervals())
		}
		j.Kill()
	}
	j = openOn(t, disk, setAside)
	if err := j.FinishMerge(); err != nil {
		t.Fatal(err)
	}
	end(t, j)
	j = open(t, disk)
	if s := state(j, 1); s.Floor != floor || len(j.DegradedIntervals()) != 1 {
		t.Errorf("%+v, want the floor %d; %v", s, floor, j.DegradedIntervals())
	}
}

// A marker behind the damage must not turn away records that a peer still sends.
func TestGoneMarkerWaitsForThePeers(t *testing.T) {
	disk, peer := memfs.New(), open(t, memfs.New(), large)
	j := openOn(t, disk, large)
	for _, j := range []*journal.Journal{j, peer} {
		for s := uint64(1); s <= 5; s++ {
			put(t, j, message(1, s, fmt.Sprintf("<1|%d>", s)), journal.Accepted)
		}
		put(t, j, &journal.Record{Kind: journal.Gone, Publisher: 1, Sequence: 10, RunningCRC: 5}, journal.Accepted)
		fill(t, j, 1, 11, 12)
	}
	end(t, j)
	damage(t, disk, "<1|4>")
	damage(t, disk, "<1|5>")
	j = open(t, disk, large, setAside)
	send(t, peer, j)
	if err := j.FinishMerge(); err != nil {
		t.Fatal(err)
	}
	sameStates(t, peer, j)
	if report, err := journals.VerifyOpen(j, disk, dir); err != nil || report.Messages != 7 {
		t.Errorf("%+v, %v", report, err)
	}
}

// The damage is in an old segment, of which opening needs only the summary.
func TestDamageInOldSegment(t *testing.T) {
	disk := memfs.New()
	j := openOn(t, disk)
	for s := uint64(1); s <= 200; s++ {
		put(t, j, message(1, s, fmt.Sprintf("<1|%d>", s)), journal.Accepted)
	}
	end(t, j)
	damage(t, disk, "<1|20>")
	damage(t, disk, "<1|150>")
	_, err := journal.Open(journal.Options{FS: disk, Dir: dir})
	var d *seglog.DamageError
	if !errors.As(err, &d) {
		t.Fatalf("%v", err)
	}
	j = open(t, disk, setAside)
	if err := j.FinishMerge(); err != nil {
		t.Fatal(err)
	}
	if report, err := journals.VerifyOpen(j, disk, dir); err != nil || report.Messages != 198 || report.Have[1] != 200 {
		t.Errorf("%+v, %v", report, err)
	}
}

// A reader finds damage in an old segment, and the next start repairs it.
func TestDamageFoundByReader(t *testing.T) {
	disk, peer := memfs.New(), open(t, memfs.New())
	j := openOn(t, disk)
	for _, j := range []*journal.Journal{j, peer} {
		for s := uint64(1); s <= 200; s++ {
			put(t, j, message(1, s, fmt.Sprintf("<1|%d>", s)), journal.Accepted)
		}
	}
	end(t, j)
	j = openOn(t, disk)
	damage(t, disk, "<1|20>")
	f := j.Follow(j.First(), journal.Durable)
	var r journal.Record
	var err error
	for ok := true; ok && err == nil; {
		ok, err = f.Next(&r)
	}
	f.Close()
	var d *seglog.DamageError
	if !errors.As(err, &d) || r.Sequence != 19 {
		t.Fatalf("%v behind %d", err, r.Sequence)
	}
	j.Close()
	j = open(t, disk, setAside)
	if sent := send(t, peer, j); sent != 1 {
		t.Errorf("%d records came from the peer", sent)
	}
	if err := j.FinishMerge(); err != nil {
		t.Fatal(err)
	}
	sameStates(t, peer, j)
}

// A crash at any step of healing loses nothing.
func TestCrashWhileHealing(t *testing.T) {
	for n := 1; ; n++ {
		disk, peer := interleaved(t, 12)
		damage(t, disk, "<1|5>")
		disk.CrashAt(n)
		j, err := journal.Open(journal.Options{FS: disk, Dir: dir, SetAside: true})
		if err == nil {
			heal(peer, j)
			j.Kill()
		}
		done := !disk.Crashed()
		for _, m := range memfs.Modes(uint64(n)) {
			j := openOn(t, disk.Crash(m), large, setAside)
			send(t, peer, j)
			if err := j.FinishMerge(); err != nil {
				t.Fatal(err)
			}
			sameStates(t, peer, j)
			end(t, j)
		}
		peer.Close()
		if done {
			return
		}
	}
}

// heal does the same as TestMerge, on a disk that may die.
func heal(peer, j *journal.Journal) {
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

// A message that is damaged on every disk that had it is refused to a publisher that still
// keeps it. That is so here, where the marker is replicated to, and after a restart.
func TestHoleIsRefused(t *testing.T) {
	disk, peer := interleaved(t, 12)
	peer.Close()
	damage(t, disk, "<1|5>")
	j := openOn(t, disk, setAside)
	if err := j.FinishMerge(); err != nil {
		t.Fatal(err)
	}
	refused := func(j *journal.Journal) {
		t.Helper()
		ts := j.Tombstones(1, 0)
		if len(ts) != 1 || ts[0].Sequence != 5 || ts[0].Reason == "" {
			t.Errorf("refused are %+v, want 5", ts)
		}
		if s := state(j, 1); s.Have != 12 || s.Floor != 0 {
			t.Errorf("%+v", s)
		}
	}
	refused(j)
	other := open(t, memfs.New())
	send(t, j, other)
	refused(other)
	end(t, j)
	again := openOn(t, disk)
	defer end(t, again)
	refused(again)
}
