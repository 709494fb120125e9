package journal

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A Retention bounds the journal for Trim. A zero field is no bound.
type Retention struct {
	Age       time.Duration // remove segments older than this, by the age of the log
	Bytes     int64         // remove segments while the journal is larger than this
	IgnoreAge bool          // remove no segment by age for now
	FreeBytes int64         // remove segments, whatever their age, until so many bytes are freed
	// SegmentNeeded reports whether a segment must stay although a bound would remove it. highest
	// has the highest sequence of each publisher in the segment. Nil: no segment must stay.
	SegmentNeeded func(highest bookmark.Vector) bool
	// AgreeToForget gets the closing publishers, each with its have. agreed are those that this
	// instance may forget, as far as the other instances are concerned. closed are those whose
	// messages up to that have are gone from every instance. Trim may call it with no
	// publishers. Nil: the instance has no group.
	AgreeToForget func(closing []bookmark.Bookmark) (agreed, closed []bookmark.Bookmark)
}

// Trim removes whole segments, the oldest first, and never the last one. Before it removes a
// segment, it makes the floors durable. Trim returns the number of removed segments. It
// removes nothing while the journal is damaged.
func (j *Journal) Trim(r Retention) (segments int, err error) {
	defer j.later.do()
	j.trimmer <- struct{}{}
	defer func() { <-j.trimmer }()
	if j.Damage() != nil {
		return 0, nil
	}
	segs, err := j.segments()
	if err != nil {
		return 0, fmt.Errorf("journal: trim: %w", err)
	}
	j.reportClock(r.Age)
	retain := r.Age
	if r.IgnoreAge {
		r.Age = 0
	}
	j.mu.Lock()
	now := moment{age: j.updateAgeLocked(), wall: j.now()}
	j.mu.Unlock()
	n := expendable(segs, j.Size(), j.DurableEnd(), now, r)
	if n > 0 {
		if err := j.removeSegments(segs[:n]); err != nil {
			return 0, fmt.Errorf("journal: trim: %w", err)
		}
	}
	if r.Age > 0 || failpoint.On(failpoint.R2HaveForgotten) {
		err = j.failIfDisk(j.advanceGroupClock(r.Age))
		if err == nil {
			err = j.failIfDisk(j.forgetPublishers(segs[n:], r.AgreeToForget))
		}
	}
	if retain > 0 && err == nil {
		err = j.noteAge(segs[n:], retain)
	}
	return n, err
}

// A moment is a time by the age of the log and by the wall clock, in microseconds.
type moment struct{ age, wall int64 }

// expendable returns the number of the oldest segments that retention removes.
func expendable(segs []segment, size int64, durable Position, now moment, r Retention) int {
	for i, s := range segs[:len(segs)-1] {
		old := s.expired(now.age, now.wall, r.Age)
		over := r.Bytes > 0 && size > r.Bytes
		if !old && !over && r.FreeBytes <= 0 || s.end > durable {
			return i
		}
		if r.SegmentNeeded != nil && r.SegmentNeeded(vectorOf(s.summary.highest)) {
			return i
		}
		size -= s.bytes
		r.FreeBytes -= s.bytes
	}
	return len(segs) - 1
}

// floorsOf returns the floors after the removal of segments, ordered by publisher.
func floorsOf(segs []segment) []bookmark.Bookmark {
	highest := make(bookmark.Vector)
	for _, s := range segs {
		for _, h := range s.summary.highest {
			highest[h.Publisher] = max(highest[h.Publisher], h.Sequence)
		}
	}
	floors := make([]bookmark.Bookmark, 0, len(highest))
	for _, p := range highest.Publishers() {
		floors = append(floors, bookmark.Bookmark{Publisher: p, Sequence: highest[p]})
	}
	return floors
}

// removeSegments makes the floors durable and then removes the segments.
func (j *Journal) removeSegments(segs []segment) error {
	first := segs[len(segs)-1].end
	j.loadRemoved(first) // before the floors rise: a floor above removed means a removal elsewhere
	for floors := range slices.Chunk(floorsOf(segs), maxStateEntries) {
		if err := j.appendChange(change{kind: stateFloors, list: floors}); err != nil {
			return err
		}
	}
	if err := j.Sync(); err != nil {
		return err
	}
	var last summary
	j.mu.Lock()
	for _, s := range segs {
		j.trimmed = max(j.trimmed, s.summary.last)
		delete(j.summaries, s.first)
		if s.summary.to > 0 {
			last = s.summary
		}
	}
	j.table.forgetIntervals(last.to)
	j.mu.Unlock()
	return j.log.Trim(first)
}

// loadRemoved reads the state of each publisher from the head of the segment at first, which
// is the oldest one from now on. That is the highest removed sequence with its topics (R9),
// and the running CRC there, which a link sends with its gone marker (R11).
func (j *Journal) loadRemoved(first Position) {
	table := newTable(nil)
	head, err := j.log.Head(first)
	if err == nil {
		err = table.RecoverHead(head)
	}
	if err != nil {
		// A reader of that segment gets the error. Here the running CRCs and the topics of the
		// removed messages stay unknown, so a subscription on any topic may be told a gap.
		j.later.add(func() {
			j.o.Log.Warn("the head of the oldest segment is unreadable: the checksums and the topics of removed messages are unknown", "error", err)
		})
		return
	}
	for part := range slices.Chunk(table.sorted(), publishersPerLock) {
		j.mu.Lock()
		for _, p := range part {
			j.table.setRemoved(table, p)
		}
		j.mu.Unlock()
	}
}

// forgetIntervals removes the degraded intervals that ended at or before the newest removed
// record.
func (t *table) forgetIntervals(before int64) {
	t.intervals = slices.DeleteFunc(t.intervals, func(i DegradedInterval) bool {
		return !i.End.IsZero() && i.End.UnixMicro() <= before
	})
}
