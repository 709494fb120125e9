package journal_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// twoClocks has a wall clock that can be set, and a monotonic clock.
type twoClocks struct {
	wall, monotonic *manualClock
}

func newTwoClocks() twoClocks { return twoClocks{newManualClock(), newManualClock()} }

func (c twoClocks) use(o *journal.Options) {
	begin := c.monotonic.Now()
	o.Now, o.Elapsed = c.wall.Now, func() time.Duration { return c.monotonic.Now().Sub(begin) }
}

// pass moves both clocks on.
func (c twoClocks) pass(d time.Duration) {
	c.wall.add(d)
	c.monotonic.add(d)
}

// trim removes the segments older than retain and returns their number.
func trim(t *testing.T, j *journal.Journal, retain time.Duration) int {
	t.Helper()
	mustSync(t, j)
	n, err := j.Trim(journal.Retention{Age: retain})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// A wall clock that is 10 days ahead for a minute removes nothing (R2).
func TestTrimIgnoresAWallClockThatIsSet(t *testing.T) {
	c := newTwoClocks()
	var log bytes.Buffer
	j := openForTest(t, memfs.New(), c.use, func(o *journal.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	fill(t, j, 1, 1, 300)
	c.pass(day)
	fill(t, j, 2, 1, 300)
	c.wall.add(10 * day)
	if n := trim(t, j, week); n != 0 || j.Floors()[1] != 0 {
		t.Errorf("a step of the wall clock removed %d segments", n)
	}
	if !strings.Contains(log.String(), "the wall clock was set") {
		t.Errorf("the log does not report that the clock was set: %s", log.String())
	}
	c.wall.add(-10 * day)
	trim(t, j, week)
	c.pass(6*day + time.Hour)
	if n := trim(t, j, week); n == 0 || j.Floors()[1] < 200 || j.Floors()[2] != 0 {
		t.Errorf("after a week and an hour %d segments were removed, floors are %v", n, j.Floors())
	}
}

// A record that was appended while the wall clock was ten years ahead is removed when it is
// old. It does not delay the removal of the records after it.
func TestTrimRemovesRecordsFromTheFuture(t *testing.T) {
	c, disk := newTwoClocks(), memfs.New()
	var log bytes.Buffer
	use := func(o *journal.Options) { c.use(o); o.Log = slog.New(slog.NewTextHandler(&log, nil)) }
	j := mustOpen(t, disk, use)
	fill(t, j, 1, 1, 100)
	c.wall.add(3650 * day)
	fill(t, j, 1, 101, 101)
	c.wall.add(-3650 * day)
	fill(t, j, 1, 102, 300)
	if ahead := j.NewestAhead(); ahead != 3650*day {
		t.Errorf("the newest record is %v ahead", ahead)
	}
	trim(t, j, week)
	verifyAndClose(t, j)
	j = mustOpen(t, disk, use)
	defer func() { verifyAndClose(t, j) }()
	log.Reset()
	if n := trim(t, j, week); n != 0 {
		t.Errorf("%d segments were removed at once", n)
	}
	if !strings.Contains(log.String(), "from the future") {
		t.Errorf("the log does not report that the newest record is from the future: %s", log.String())
	}
	c.pass(week + time.Hour)
	if n := trim(t, j, week); n == 0 || j.Floors()[1] < 200 {
		t.Errorf("after a week and an hour %d segments were removed, floors are %v", n, j.Floors())
	}
}

// Trimming by size uses no clock.
func TestTrimBySizeUsesNoClock(t *testing.T) {
	c := newTwoClocks()
	j := openForTest(t, memfs.New(), c.use)
	c.wall.add(3650 * day)
	fill(t, j, 1, 1, 300)
	c.wall.add(-3660 * day)
	mustSync(t, j)
	if n, err := j.Trim(journal.Retention{Age: week, Bytes: 8 << 10}); n == 0 || err != nil {
		t.Error(n, err)
	}
}

// The age of the log survives restarts. The time between two processes, by the wall clock,
// does not count.
func TestAgeOverRestarts(t *testing.T) {
	c, disk := newTwoClocks(), memfs.New()
	j := mustOpen(t, disk, c.use)
	fill(t, j, 1, 1, 300)
	for day := range 6 {
		c.pass(24 * time.Hour)
		if n := trim(t, j, week); n != 0 {
			t.Fatalf("day %d: %d segments were removed", day, n)
		}
		mustSync(t, j)
		if err := j.Kill(); err != nil {
			t.Fatal(err)
		}
		disk = disk.Crash(memfs.Durable)
		c.wall.add(30 * 24 * time.Hour)
		j = mustOpen(t, disk, c.use)
	}
	c.pass(25 * time.Hour)
	if n := trim(t, j, week); n == 0 {
		t.Error("no segment was removed in a week")
	}
	verifyAndClose(t, j)
}

// Silence by the wall clock alone does not make the journal forget a publisher (R10).
func TestForgetIgnoresAWallClockThatIsSet(t *testing.T) {
	c := newTwoClocks()
	j := openForTest(t, memfs.New(), c.use)
	fill(t, j, 1, 1, 1)
	fill(t, j, 2, 1, 300)
	c.pass(week + time.Hour)
	fill(t, j, 2, 301, 400)
	if n := trim(t, j, week); n == 0 {
		t.Fatal("no segment was removed")
	}
	c.wall.add(30 * day)
	trim(t, j, week)
	if s := state(j, 1); s.Have != 1 || s.Floor != 1 {
		t.Errorf("the publisher was forgotten: %+v", s)
	}
	for range 18 {
		c.pass(week/4 + time.Hour)
		trim(t, j, week)
	}
	if _, known := j.State(1); known {
		t.Error("not forgotten after four times the retention")
	}
}
