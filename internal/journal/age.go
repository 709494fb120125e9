package journal

import (
	"encoding/binary"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// clockTolerance is the largest difference between clocks that is not reported.
const clockTolerance = time.Minute

// An ageClock measures the age of the log: the time for which processes had it open, by the
// monotonic clock. Retention relies on the age alone. The wall clock can be set to
// anything; it only stamps records.
type ageClock struct {
	elapsed func() time.Duration // since the log was opened
	opened  time.Time            // the time of opening by the wall clock
	base    int64                // age of the log at opening, microseconds
	newest  int64                // time of the newest record at opening; 0: no records

	// The last report. Only the holder of the trimmer token changes these fields.
	reportedSet, reportedAhead time.Duration
	reported                   bool
}

func newAgeClock(o *Options, t *table) ageClock {
	begin := o.Elapsed()
	elapsed := func() time.Duration { return o.Elapsed() - begin }
	return ageClock{elapsed: elapsed, opened: o.Now(), base: t.age, newest: t.lastTime}
}

// age returns the age of the log in microseconds.
func (c *ageClock) age() int64 { return c.base + c.elapsed().Microseconds() }

// LastWrite returns the time of the newest record that Open has found, by the wall clock of that time.
// It is zero if there was none.
func (j *Journal) LastWrite() time.Time {
	if j.ageClock.newest == 0 {
		return time.Time{}
	}
	return time.UnixMicro(j.ageClock.newest)
}

// updateAgeLocked brings the table's age up to date and returns it.
func (j *Journal) updateAgeLocked() int64 {
	j.table.age = max(j.table.age, j.ageClock.age())
	return j.table.age
}

// noteAge appends a note of the age to the log. Without a note a restart would set the age
// back to that of the newest head; with it at most a 64th of retention is lost. No note is
// needed when all sealed segments are old, so an idle log does not grow.
func (j *Journal) noteAge(segs []segment, retain time.Duration) error {
	if len(segs) == 1 {
		return nil
	}
	sealed := segs[len(segs)-2]
	j.mu.Lock()
	noted := j.table.notedAge
	due := !sealed.expired(noted, 0, retain) && j.updateAgeLocked() >= noted+retain.Microseconds()/64
	j.mu.Unlock()
	if !due {
		return nil
	}
	return j.appendChange(change{kind: stateAge})
}

// Amend implements seglog.Amender. It sets the age in a summary that was made while the log
// was being opened. The newest note of the age may be after that segment. With an earlier
// age the messages of the segment would count as older than they are.
func (t *table) Amend(summary []byte) []byte {
	if !failpoint.On(failpoint.R2SealedTooOld) {
		binary.LittleEndian.PutUint64(summary[1+8+8:], uint64(t.age))
	}
	return summary
}

// NewestAhead returns how far the newest record is ahead of the wall clock, 0 if that is at
// most a minute.
func (j *Journal) NewestAhead() time.Duration {
	wall := j.o.Now().UnixMicro()
	j.mu.Lock()
	defer j.mu.Unlock()
	ahead := time.Duration(j.table.lastTime-wall) * time.Microsecond
	if ahead <= clockTolerance {
		return 0
	}
	return ahead
}

// reportClock logs three findings: the wall clock was set while the log was open, the newest
// record is from the future, or the newest record was older than retention, by the wall
// clock, when the log was opened. The caller holds the trimmer token.
func (j *Journal) reportClock(retain time.Duration) {
	c := &j.ageClock
	opened := c.opened.Round(0) // drops the monotonic reading
	if set := j.o.Now().Sub(opened) - c.elapsed(); (set - c.reportedSet).Abs() > clockTolerance {
		c.reportedSet = set
		j.later.add(func() {
			j.o.Log.Error("the wall clock was set; retention counts time by the monotonic clock", "skew", set)
		})
	}
	ahead := j.NewestAhead()
	if ahead > 0 && c.reportedAhead == 0 {
		j.later.add(func() {
			j.o.Log.Error("the newest record is from the future: the wall clock is or was wrong", "skew", ahead)
		})
	}
	c.reportedAhead = ahead
	idle := opened.Sub(time.UnixMicro(c.newest))
	if !c.reported && c.newest > 0 && retain > 0 && idle > retain {
		j.later.add(func() {
			j.o.Log.Warn("the newest record was older than retention when the journal was opened; that time does not count for retention, "+
				"since the wall clock may have been set meanwhile", "duration", idle)
		})
	}
	c.reported = true
}

// expired reports whether a segment is older than retention, by the age of the log.
func (s *segment) expired(age, wall int64, retain time.Duration) bool {
	if failpoint.On(failpoint.R2WallClock) {
		return retain > 0 && s.summary.to < wall-retain.Microseconds()
	}
	return retain > 0 && s.summary.age < age-retain.Microseconds()
}
