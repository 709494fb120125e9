package journal

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// A segment is a segment of the log with its summary.
type segment struct {
	first, end Position
	bytes      int64 // on disk
	summary    summary
}

// segments returns the segments of the journal, oldest first. There is at least one. The last
// one has its end and summary as of the newest record.
func (j *Journal) segments() ([]segment, error) {
	j.mu.Lock()
	raw := j.log.Segments()
	segs := make([]segment, len(raw))
	var unknown []int
	for i, s := range raw {
		segs[i] = segment{first: s.First, end: s.End, bytes: s.Bytes}
		if i == len(raw)-1 {
			segs[i].end, segs[i].summary = j.end, j.table.unsortedSummary()
		} else if known, ok := j.summaries[s.First]; ok {
			segs[i].summary = known
		} else {
			unknown = append(unknown, i)
		}
	}
	err := j.unusableLocked()
	j.mu.Unlock()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(segs[len(segs)-1].summary.highest, byPublisher)
	return segs, j.loadSummaries(segs, raw, unknown)
}

// loadSummaries fills in the summaries that are not in memory yet.
func (j *Journal) loadSummaries(segs []segment, raw []seglog.Segment, unknown []int) error {
	for _, i := range unknown {
		var err error
		if len(raw[i].Summary) > 0 {
			segs[i].summary, err = decodeSummary(raw[i].Summary)
		} else {
			segs[i].summary, err = j.summarize(segs[i])
			segs[i].summary.age = j.ageClock.base // the maximum
		}
		if err != nil {
			return fmt.Errorf("journal: summary of the segment at %v: %w", segs[i].first, err)
		}
		j.mu.Lock()
		j.summaries[segs[i].first] = segs[i].summary
		j.mu.Unlock()
		j.log.ReleaseSummary(raw[i].First)
	}
	return nil
}

// summarize makes the summary of a segment by reading it.
func (j *Journal) summarize(s segment) (summary, error) {
	t := newTable(nil)
	err := j.scan(s.first, s.end, func(r *Record) bool {
		t.apply(r, 0)
		return true
	})
	return t.summary(), err
}

// scan calls fn with the records from one position to another, until fn returns false.
func (j *Journal) scan(from, end Position, fn func(*Record) bool) error {
	c := j.log.Cursor(from)
	defer c.Close()
	for r := (Record{}); ; {
		rec, err := c.Next()
		if err == io.EOF || err == nil && rec.Position >= end {
			return nil
		}
		if err != nil {
			return fmt.Errorf("journal: read at %v: %w", c.Position(), err)
		}
		if Kind(rec.Kind) == kindState {
			continue
		}
		if err := decodeLogged(rec, &r); err != nil || !fn(&r) {
			return err
		}
	}
}

// SeekVector returns a position such that v covers every record before it. It uses the
// summaries of the segments, their outlines, and the recent extents. The position may be
// before the first record that v does not cover.
func (j *Journal) SeekVector(v bookmark.Vector) (Position, error) {
	segs, err := j.segments()
	if err != nil {
		return 0, fmt.Errorf("journal: seek by vector: %w", err)
	}
	for _, s := range segs {
		if !s.summary.covered(v) {
			at, err := s.summary.seek(v, s.first)
			if err != nil {
				return 0, fmt.Errorf("journal: seek by vector: %w", err)
			}
			at = j.resolveZero(at)
			j.mu.Lock()
			defer j.mu.Unlock()
			return j.table.extents.seek(v, at), nil
		}
	}
	return segs[len(segs)-1].end, nil
}

// SeekTime returns the position of the first record taken at or after t, and the vector of
// the records before it. If that record is not durable yet, it returns the durable end with
// its vector (R9).
func (j *Journal) SeekTime(t time.Time) (Position, bookmark.Vector, error) {
	at, v, err := j.seekTime(t.UnixMicro())
	for retry := 0; errors.Is(err, ErrTrimmed) && retry < 3; retry++ { // the segment was removed meanwhile
		at, v, err = j.seekTime(t.UnixMicro())
	}
	if err != nil {
		return 0, nil, fmt.Errorf("journal: seek by time: %w", err)
	}
	return at, v, nil
}

func (j *Journal) seekTime(micros int64) (Position, bookmark.Vector, error) {
	durable, v := j.DurableVector()
	segs, err := j.segments()
	if err != nil {
		return 0, nil, err
	}
	for _, s := range segs {
		if len(s.summary.highest) > 0 && s.summary.to >= micros {
			return j.seekTimeIn(s, micros, durable, v)
		}
	}
	return durable, v, nil
}

// seekTimeIn is SeekTime in the segment s, which holds the record. If the record is after
// the durable end, seekTimeIn returns that with its vector v.
func (j *Journal) seekTimeIn(s segment, micros int64, durable Position, v bookmark.Vector) (Position, bookmark.Vector, error) {
	if s.first >= durable {
		return durable, v, nil
	}
	head, err := j.log.Head(s.first)
	if err != nil {
		if j.log.First() > s.first {
			err = ErrTrimmed
		}
		return 0, nil, err
	}
	before, err := headVector(head)
	if err != nil {
		return 0, nil, err
	}
	at := durable
	err = j.scan(s.first, durable, func(r *Record) bool {
		if r.Time >= micros {
			at = Position(r.Position)
			return false
		}
		before[r.Publisher] = r.Sequence
		return true
	})
	if err == nil && j.log.First() > s.first {
		err = ErrTrimmed
	}
	if at == durable {
		return durable, v, err
	}
	return at, before, err
}

// findRecords is the number of records that Find reads between two calls of stop.
const findRecords = 1024

// Find returns the position of the first record in the journal whose message is on a list.
// The record may also be a tombstone or an empty one. found is false if the journal has none
// of the messages, or no longer has them. Find makes one pass, however long the list is. It
// calls stop, which may be nil, now and then. If stop returns true, Find finds nothing.
func (j *Journal) Find(list []bookmark.Bookmark, stop func() bool) (at Position, found bool, err error) {
	segs, err := j.segments()
	if err != nil {
		return 0, false, fmt.Errorf("journal: find bookmarks: %w", err)
	}
	wanted := make(map[bookmark.Bookmark]bool, len(list))
	for _, b := range list {
		wanted[b] = true
	}
	for _, s := range segs {
		reached := func(b bookmark.Bookmark) bool { return s.summary.highestOf(b.Publisher) >= b.Sequence }
		if !slices.ContainsFunc(list, func(b bookmark.Bookmark) bool { return wanted[b] && reached(b) }) {
			continue
		}
		stopped, records := false, 0
		err := j.scan(s.first, s.end, func(r *Record) bool {
			if records++; records%findRecords == 1 && stop != nil && stop() {
				stopped = true
				return false
			}
			b := bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence}
			found = wanted[b] && r.Kind != Gone && r.Kind != Elsewhere
			at = Position(r.Position)
			return !found
		})
		switch {
		case err != nil || stopped:
			return 0, false, err
		case found:
			return at, true, nil
		}
		maps.DeleteFunc(wanted, func(b bookmark.Bookmark, _ bool) bool { return reached(b) }) // no later segment has them
	}
	return 0, false, nil
}
