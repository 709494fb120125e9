package journal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

func mustDiverge(t *testing.T, j *journal.Journal, publisher, from uint64) []bookmark.Bookmark {
	t.Helper()
	changed, err := j.NoteDiverged([]bookmark.Bookmark{{Publisher: publisher, Sequence: from}})
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// Once a publisher has diverged, the journal admits no record of it.
func TestDivergedAdmitsNothing(t *testing.T) {
	j := openForTest(t, memfs.New())
	fill(t, j, 1, 1, 5)
	fill(t, j, 2, 1, 5)
	if changed := mustDiverge(t, j, 1, 4); len(changed) != 1 || j.Diverged(1) != 4 || j.Diverged(2) != 0 {
		t.Fatalf("changed %v, diverged from %d", changed, j.Diverged(1))
	}
	for _, s := range []uint64{3, 5, 6, 8} {
		mustAppend(t, j, message(1, s, fmt.Sprint(s)), journal.Diverged)
	}
	mustAppend(t, j, message(2, 6, "6"), journal.Accepted)
	if s, _ := j.State(1); s.Have != 5 || s.Diverged != 4 {
		t.Errorf("state %+v", s)
	}
}

// The number only falls. It is at most have+1, because a number above have is not proven equal.
func TestDivergedOnlyFalls(t *testing.T) {
	j := openForTest(t, memfs.New())
	fill(t, j, 1, 1, 5)
	for _, step := range []struct {
		from, want uint64
		news       bool
	}{{9, 6, true}, {8, 6, false}, {3, 3, true}, {4, 3, false}, {0, 1, true}, {1, 1, false}} {
		if changed := mustDiverge(t, j, 1, step.from); (len(changed) > 0) != step.news || j.Diverged(1) != step.want {
			t.Errorf("after %d: changed %v, from %d, want %d", step.from, changed, j.Diverged(1), step.want)
		}
	}
	if mustDiverge(t, j, 7, 9); j.Diverged(7) != 1 {
		t.Errorf("an unknown publisher has diverged from %d, want 1", j.Diverged(7))
	}
}

// A divergence is durable when NoteDiverged returns. It survives in heads alone, and retention
// does not remove it.
func TestDivergedSurvives(t *testing.T) {
	disk := memfs.New()
	now := time.Now()
	j := mustOpen(t, disk, func(o *journal.Options) { o.Now = func() time.Time { return now } })
	fill(t, j, 1, 1, 5)
	mustDiverge(t, j, 1, 3)
	image := disk.Image(memfs.Durable)
	after := mustOpen(t, image)
	if after.Diverged(1) != 3 {
		t.Errorf("after a power cut: from %d", after.Diverged(1))
	}
	verifyAndClose(t, after)

	fill(t, j, 2, 1, 500) // several segments
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Trim(journal.Retention{Bytes: 1}); err != nil {
		t.Fatal(err)
	}
	for range 12 { // long enough to forget another publisher
		now = now.Add(time.Hour)
		fill(t, j, 9, state(j, 9).Have+1, state(j, 9).Have+1)
		if _, err := j.Trim(journal.Retention{Age: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	if s := state(j, 1); s.Closing {
		t.Errorf("a diverged publisher may be forgotten: %+v", s)
	}
	mustAppend(t, j, message(1, 6, "6"), journal.Diverged)
	verifyAndClose(t, j)
	again := openForTest(t, disk)
	if s, known := again.State(1); !known || s.Have != 5 || s.Floor != 5 || again.Diverged(1) != 3 {
		t.Errorf("after retention and a restart: %+v, from %d", s, again.Diverged(1))
	}
	mustAppend(t, again, message(1, 6, "6"), journal.Diverged)
}

// A marker without a running CRC makes the publisher's running CRC unknown. It stays unknown,
// also after a restart, until another marker brings one.
func TestRunningCRCUnknown(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk)
	appendGone := func(from, to uint64, crc uint32, cause journal.Cause) {
		mustAppend(t, j, &journal.Record{Kind: journal.Gone, Publisher: 1, Prev: from, Sequence: to, RunningCRC: crc, Cause: cause}, journal.Accepted)
	}
	crc := func() uint32 {
		s, _ := j.State(1)
		return s.RunningCRC
	}
	appendGone(0, 4, 0, journal.LetGo) // every instance has 0 for it
	fill(t, j, 1, 5, 6)
	if crc() == 0 {
		t.Error("the running CRC is unknown after messages that were let go before any instance had one")
	}
	appendGone(6, 9, 0, journal.Removed)
	fill(t, j, 1, 10, 10)
	fill(t, j, 2, 1, 500) // several segments
	verifyAndClose(t, j)
	if j = mustOpen(t, disk); crc() != 0 {
		t.Errorf("running CRC %x after a marker without one, after a restart; want 0", crc())
	}
	appendGone(10, 12, 7, journal.Removed)
	if crc() != 7 {
		t.Errorf("running CRC %x after a marker with 7", crc())
	}
	verifyAndClose(t, j)
}

// A divergence that is recorded after damage counts as soon as the journal is opened. So the
// journal does not wait for records that a peer will not send.
func TestDivergedBehindDamage(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk, largeSegments)
	for n := range uint64(20) {
		mustAppend(t, j, message(1, n+1, fmt.Sprintf("<%d>", n+1)), journal.Accepted)
	}
	mustDiverge(t, j, 2, 1)
	verifyAndClose(t, j)
	damageBody(t, disk, "<10>")
	j = mustOpen(t, disk, largeSegments, setAside)
	defer verifyAndClose(t, j)
	if j.Damage() == nil || j.Diverged(2) != 1 || state(j, 2).Diverged != 1 {
		t.Errorf("%v, diverged from %d, %+v", j.Damage(), j.Diverged(2), state(j, 2))
	}
}
