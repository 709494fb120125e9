package journal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

func diverge(t *testing.T, j *journal.Journal, publisher, from uint64) []bookmark.Bookmark {
	t.Helper()
	changed, err := j.NoteDiverged([]bookmark.Bookmark{{Publisher: publisher, Sequence: from}})
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// Once a publisher has diverged, no record of it is admitted, whatever its number.
func TestDivergedAdmitsNothing(t *testing.T) {
	j := open(t, memfs.New())
	fill(t, j, 1, 1, 5)
	fill(t, j, 2, 1, 5)
	if changed := diverge(t, j, 1, 4); len(changed) != 1 || j.Diverged(1) != 4 || j.Diverged(2) != 0 {
		t.Fatalf("changed %v, diverged from %d", changed, j.Diverged(1))
	}
	for _, s := range []uint64{3, 5, 6, 8} {
		put(t, j, message(1, s, fmt.Sprint(s)), journal.Diverged)
	}
	put(t, j, message(2, 6, "6"), journal.Accepted)
	if s, _ := j.State(1); s.Have != 5 || s.Diverged != 4 {
		t.Errorf("state %+v", s)
	}
}

// The number only falls. It is at most have+1, because a number that is not here is not
// proven equal.
func TestDivergedOnlyFalls(t *testing.T) {
	j := open(t, memfs.New())
	fill(t, j, 1, 1, 5)
	for _, step := range []struct {
		from, want uint64
		news       bool
	}{{9, 6, true}, {8, 6, false}, {3, 3, true}, {4, 3, false}, {0, 1, true}, {1, 1, false}} {
		if changed := diverge(t, j, 1, step.from); (len(changed) > 0) != step.news || j.Diverged(1) != step.want {
			t.Errorf("after %d: changed %v, from %d, want %d", step.from, changed, j.Diverged(1), step.want)
		}
	}
	if diverge(t, j, 7, 9); j.Diverged(7) != 1 {
		t.Errorf("of a publisher that is not here: from %d", j.Diverged(7))
	}
}

// The note is durable when Diverge returns, also if only heads have it. Retention does not
// remove it.
func TestDivergedSurvives(t *testing.T) {
	disk := memfs.New()
	now := time.Now()
	j := openOn(t, disk, func(o *journal.Options) { o.Now = func() time.Time { return now } })
	fill(t, j, 1, 1, 5)
	diverge(t, j, 1, 3)
	image := disk.Image(memfs.Durable)
	after := openOn(t, image)
	if after.Diverged(1) != 3 {
		t.Errorf("after a power cut: from %d", after.Diverged(1))
	}
	end(t, after)

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
		t.Errorf("it may be forgotten: %+v", s)
	}
	put(t, j, message(1, 6, "6"), journal.Diverged)
	end(t, j)
	again := open(t, disk)
	if s, known := again.State(1); !known || s.Have != 5 || s.Floor != 5 || again.Diverged(1) != 3 {
		t.Errorf("after retention and a restart: %+v, from %d", s, again.Diverged(1))
	}
	put(t, again, message(1, 6, "6"), journal.Diverged)
}

// A marker without a running ContentCRC makes the publisher's ContentCRC unknown. It stays unknown, also
// on disk, until another marker brings one.
func TestRunningCRCUnknown(t *testing.T) {
	disk := memfs.New()
	j := openOn(t, disk)
	gone := func(from, to uint64, crc uint32, cause journal.Cause) {
		put(t, j, &journal.Record{Kind: journal.Gone, Publisher: 1, Prev: from, Sequence: to, RunningCRC: crc, Cause: cause}, journal.Accepted)
	}
	crc := func() uint32 {
		s, _ := j.State(1)
		return s.RunningCRC
	}
	gone(0, 4, 0, journal.LetGo) // every instance has 0 for it
	fill(t, j, 1, 5, 6)
	if crc() == 0 {
		t.Error("unknown behind what was let go before anyone had anything")
	}
	gone(6, 9, 0, journal.Removed)
	fill(t, j, 1, 10, 10)
	fill(t, j, 2, 1, 500) // several segments
	end(t, j)
	if j = openOn(t, disk); crc() != 0 {
		t.Errorf("%x behind a marker without one, after a restart", crc())
	}
	gone(10, 12, 7, journal.Removed)
	if crc() != 7 {
		t.Errorf("%x behind a marker with one", crc())
	}
	end(t, j)
}

// A divergence noted behind damage counts as soon as the journal is opened. So the journal
// does not wait for records that a peer will not send.
func TestDivergedBehindDamage(t *testing.T) {
	disk := memfs.New()
	j := openOn(t, disk, large)
	for n := range uint64(20) {
		put(t, j, message(1, n+1, fmt.Sprintf("<%d>", n+1)), journal.Accepted)
	}
	diverge(t, j, 2, 1)
	end(t, j)
	damage(t, disk, "<10>")
	j = openOn(t, disk, large, setAside)
	defer end(t, j)
	if j.Damage() == nil || j.Diverged(2) != 1 || state(j, 2).Diverged != 1 {
		t.Errorf("%v, diverged from %d, %+v", j.Damage(), j.Diverged(2), state(j, 2))
	}
}
