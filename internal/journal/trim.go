package journal

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// A Retention says what Trim may remove. Zero fields don't bound.
type Retention struct {
	Age   time.Duration // older than this, counted while the journal is open, by the monotonic clock
	Bytes int64         // beyond this size of the journal
	Doubt bool          // nothing goes by age for now
	Need  int64         // the oldest, whatever their age, until so many bytes are free again
	// Held reports whether a segment must stay although age or size would
	// remove it; highest is the highest sequence of each publisher in it. Nil: none.
	Held func(highest bookmark.Vector) bool
	// Agree returns those of the publishers, each with its have, that the group
	// agrees to forget, and those of which no instance has anything up to there. It
	// is called each time, perhaps with none. Nil: nobody is to be asked.
	Agree func(closing []bookmark.Bookmark) (agreed, closed []bookmark.Bookmark)
}

// Trim removes whole segments from the old end, never the last one. Floors are
// durable before a segment goes. It returns how many went. While the journal
// is damaged nothing is removed.
func (j *Journal) Trim(r Retention) (segments int, err error) {
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
	if r.Doubt {
		r.Age = 0
	}
	j.mu.Lock()
	now := moment{age: j.agedLocked(), wall: j.now()}
	j.mu.Unlock()
	n := expendable(segs, j.Size(), j.Durable(), now, r)
	if n > 0 {
		if err := j.removeSegments(segs[:n]); err != nil {
			return 0, fmt.Errorf("journal: trim: %w", err)
		}
	}
	if r.Age > 0 || mut.On(mut.R2HaveForgotten) {
		err = j.judge(j.advance(r.Age))
		if err == nil {
			err = j.judge(j.forget(segs[n:], r.Agree))
		}
	}
	if retain > 0 && err == nil {
		err = j.keepAge(segs[n:], retain)
	}
	return n, err
}

// A moment is one by the age of the log and by the wall clock, microseconds.
type moment struct{ age, wall int64 }

// expendable returns how many segments, from the oldest, retention removes.
func expendable(segs []segment, size int64, durable Position, now moment, r Retention) int {
	for i, s := range segs[:len(segs)-1] {
		old := s.old(now.age, now.wall, r.Age)
		over := r.Bytes > 0 && size > r.Bytes
		if !old && !over && r.Need <= 0 || s.end > durable {
			return i
		}
		if r.Held != nil && r.Held(vectorOf(s.summary.highest)) {
			return i
		}
		size -= s.bytes
		r.Need -= s.bytes
	}
	return len(segs) - 1
}

// floorsOf returns the floors that are left by segments, by publisher.
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

// removeSegments makes the floors durable and lets the segments go.
func (j *Journal) removeSegments(segs []segment) error {
	first := segs[len(segs)-1].end
	j.learnRemoved(first) // before the floors: where these are above, removal was elsewhere
	for floors := range slices.Chunk(floorsOf(segs), floorsPerRecord) {
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

// learnRemoved reads how far each publisher was where the segment at first
// begins, which is the oldest from now on: what is removed of it, on which topics
// (R9), and the running CRC there, with which a link says that this is gone (R11).
func (j *Journal) learnRemoved(first Position) {
	before := newTable(nil)
	head, err := j.log.Head(first)
	if err == nil {
		err = before.RecoverHead(head)
	}
	if err != nil {
		// Who reads there will be told; here it costs a comparison.
		j.o.Log.Warn("journal: running CRCs of what was removed are not known", "err", err)
		return
	}
	for some := range slices.Chunk(before.sorted(), eachAtOnce) {
		j.mu.Lock()
		for _, b := range some {
			j.table.removes(before, b)
		}
		j.mu.Unlock()
	}
}

// forgetIntervals lets go of the degraded intervals that ended at or before
// the newest record that was removed.
func (t *table) forgetIntervals(before int64) {
	t.intervals = slices.DeleteFunc(t.intervals, func(i Interval) bool {
		return !i.End.IsZero() && i.End.UnixMicro() <= before
	})
}
