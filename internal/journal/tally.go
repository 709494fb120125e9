package journal

import (
	"slices"
	"time"
)

const (
	maxTallyMarks = 4096
	tallyBytes    = 64 << 10                              // distance between two marks at first
	tallyMicros   = int64(time.Second / time.Microsecond) // and the time between them
)

// A tally has marks in the log, from which it is known about how many records follow a position.
// The marks are spread evenly over the log, so that their number stays bounded. A tally is in memory
// only. Its owner does the locking.
type tally struct {
	marks   []tallyMark // in order
	spacing tallyMark   // distances between marks: bytes and time
	records uint64      // all records so far
	end     Position    // after the newest record
}

// A tallyMark is a position with the number of the records before it.
type tallyMark struct {
	at      Position
	records uint64
	time    int64 // of the record there; 0: not known
}

// note adds the record between two positions. Its time never goes back.
func (t *tally) note(at, next Position, time int64) {
	if n := len(t.marks); n == 0 || at >= t.marks[n-1].at+t.spacing.at || time >= t.marks[n-1].time+t.spacing.time {
		t.mark(tallyMark{at, t.records, time})
	}
	t.records++
	t.end = next
}

// mark adds a mark. If there are too many it drops every second one, and doubles the distances.
func (t *tally) mark(m tallyMark) {
	if len(t.marks) == 0 {
		t.spacing = tallyMark{at: tallyBytes, time: tallyMicros}
	}
	if len(t.marks) == maxTallyMarks {
		for i := range maxTallyMarks / 2 {
			t.marks[i] = t.marks[2*i]
		}
		t.marks = t.marks[:maxTallyMarks/2]
		t.spacing.at, t.spacing.time = 2*t.spacing.at, 2*t.spacing.time
	}
	t.marks = append(t.marks, m)
}

// prepend adds records before the first mark, which begin at a position. Their times are not known.
func (t *tally) prepend(at Position, records uint64) {
	if len(t.marks) == 0 || at >= t.marks[0].at {
		return
	}
	for i := range t.marks {
		t.marks[i].records += records
	}
	t.records += records
	t.marks = append([]tallyMark{{at: at}}, t.marks...)
}

// A Lag is the part of the journal after a position.
type Lag struct {
	// Records is the number of records. It is exact to the records of one distance between marks:
	// 64 KiB or a second, later more of both; for the part of the journal before the segment in
	// which this process began to write it is an estimate. It is 0 only if there are none.
	Records uint64
	Bytes   uint64
	// Since is the time of the oldest of the records, or up to such a distance before it; zero:
	// there are none, or it is not known.
	Since time.Time
}

// after returns the part of the log after a position.
func (t *tally) after(at Position) (l Lag) {
	if at >= t.end {
		return l
	}
	next := len(t.marks)
	for low := 0; low < next; { // the first mark behind the position
		if middle := (low + next) / 2; t.marks[middle].at > at {
			next = middle
		} else {
			low = middle + 1
		}
	}
	l.Records, l.Bytes = t.records, uint64(t.end-at)
	if next == 0 {
		return l
	}
	from, to := t.marks[next-1], tallyMark{at: t.end, records: t.records}
	if next < len(t.marks) {
		to = t.marks[next]
	}
	share := float64(at-from.at) / float64(to.at-from.at)
	l.Records = max(1, t.records-from.records-uint64(share*float64(to.records-from.records)+0.5))
	if from.time > 0 {
		l.Since = time.UnixMicro(from.time)
	}
	return l
}

// Lag returns the part of the journal after a position. It takes little time.
func (j *Journal) Lag(at Position) Lag {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.table.tally.after(at)
}

// Lags returns a function that returns the same as Lag at this moment. It is for many positions: the
// function does not lock the journal.
func (j *Journal) Lags() func(at Position) Lag {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.table.tally
	now.marks = slices.Clone(now.marks)
	return now.after
}

// countOlder adds the records before the segment in which the table was found to the tally. There
// are about as many as the numbers of the publishers that retention has not removed.
func (j *Journal) countOlder(first Position) {
	older := uint64(0)
	for _, p := range j.table.all {
		older += p.have - min(p.have, p.removed)
	}
	j.table.tally.prepend(first, older-min(older, j.table.tally.records))
}
