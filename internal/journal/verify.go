package journal

import (
	"errors"
	"fmt"
	"maps"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/format"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// A Report says what Verify has read.
type Report struct {
	Segments   int
	Records    int // of all kinds, state records left out
	Messages   int // of kind Message
	Publishers int
	Have       bookmark.Vector // of every publisher
}

// Verify reads a closed journal and checks that each identity stands in it
// once (G3), each publisher's in order, none without its predecessor (G4),
// that times don't go back, and that heads and summaries say what is there. It
// opens the journal as its owner would, which cuts a torn tail.
func Verify(fsys seglog.FS, dir string) (Report, error) {
	j, err := Open(Options{FS: fsys, Dir: dir})
	if err != nil {
		return Report{}, err
	}
	report, err := j.Verify()
	return report, errors.Join(err, j.Close())
}

// Verify is the function Verify for a journal that is open. It checks what is
// appended at the moment; retention must be at rest.
func (j *Journal) Verify() (Report, error) {
	segs, err := j.segments()
	if err != nil {
		return Report{}, fmt.Errorf("journal: verify: %w", err)
	}
	v := newVerifier(func(fault error) error { return fault })
	for i, s := range segs {
		if err := j.verifySegment(v, s, i == len(segs)-1); err != nil {
			return v.report, fmt.Errorf("journal: verify: segment at %v: %w", s.first, err)
		}
	}
	v.end()
	return v.report, j.verifyTable(v.report.Have)
}

// verifySegment checks one segment and what stands at its ends.
func (j *Journal) verifySegment(v *verifier, s segment, last bool) error {
	head, err := j.log.Head(s.first)
	if err != nil {
		return err
	}
	if err := v.head(head); err != nil {
		return err
	}
	if err := v.outline(s.summary); err != nil {
		return err
	}
	err = j.scanLog(s.first, s.end, func(rec seglog.Record) (bool, error) {
		_, err := v.logged(rec)
		return true, err
	})
	if err != nil || last {
		return err
	}
	return v.summary(s.summary)
}

// verifyTable checks that the table knows what the records say.
func (j *Journal) verifyTable(want bookmark.Vector) error {
	j.mu.Lock()
	have := j.table.haves()
	j.mu.Unlock()
	if !maps.Equal(have, want) {
		return fmt.Errorf("journal: verify: the table says %v, the records %v", have, want)
	}
	return nil
}

// A verifier goes through a journal's records. It doesn't judge what it finds:
// fault does, and ends the matter if it returns an error.
type verifier struct {
	fault   func(error) error
	report  Report
	time    int64
	highest bookmark.Vector // of each publisher in the segment
	inside  []stretch       // of the segment, from the one on that is being read
	rest    Position        // where they end
	stretch bookmark.Vector // highest of each publisher in the one that is being read
	damaged bool            // records may be missing between the last one and the next head
	record  Record          // scratch
}

func newVerifier(fault func(error) error) *verifier {
	return &verifier{fault: fault, report: Report{Have: make(bookmark.Vector)}}
}

// head begins a segment whose head this is.
func (v *verifier) head(head []byte) error {
	v.highest, v.stretch, v.inside = make(bookmark.Vector), make(bookmark.Vector), nil
	v.report.Segments++
	if len(head) == 0 {
		return nil
	}
	have, err := headVector(head)
	if _, newer := errors.AsType[*format.VersionError](err); newer || errors.Is(err, ErrNotJournal) {
		return err
	}
	if err != nil {
		return v.fault(err)
	}
	if err := v.before(have); err != nil {
		return err
	}
	v.report.Have, v.damaged = have, false
	return nil
}

// before compares what a head says with the records before it.
func (v *verifier) before(have bookmark.Vector) error {
	switch {
	case v.report.Segments == 1 || maps.Equal(have, v.report.Have):
		return nil
	case !v.damaged:
		return v.fault(fmt.Errorf("head says %v, the records before it %v", have, v.report.Have))
	}
	for _, p := range have.Publishers() {
		if had := v.report.Have[p]; had < have[p] {
			if err := v.fault(missing(p, had, have[p])); err != nil {
				return err
			}
		}
	}
	return nil
}

// missing names what a damaged place has taken of a publisher.
func missing(publisher, had, upTo uint64) error {
	if upTo == had+1 {
		return fmt.Errorf("publisher %d: %d is missing at a damaged place", publisher, upTo)
	}
	return fmt.Errorf("publisher %d: %d to %d are missing at a damaged place", publisher, had+1, upTo)
}

// logged checks one record of the log. It returns nil for one that only
// changes the table, and for one that can't be read.
func (v *verifier) logged(rec seglog.Record) (*Record, error) {
	if Kind(rec.Kind) == kindState {
		c, err := decodeState(rec.Payload)
		if err != nil {
			return nil, v.fault(fmt.Errorf("record at %v: %w", rec.Position, err))
		}
		for _, p := range c.forgotten { // they may begin anew
			delete(v.report.Have, p)
		}
		return nil, nil
	}
	r := &v.record
	if err := decodeLogged(rec, r); err != nil {
		return nil, v.fault(err)
	}
	return r, v.check(r)
}

// check checks one record against what stands before it.
func (v *verifier) check(r *Record) (err error) {
	have := v.report.Have[r.Publisher]
	verdict := admit(have, r.Prev, r.Sequence)
	switch {
	case verdict == Hole && v.damaged:
		err = v.fault(missing(r.Publisher, have, r.Prev))
	case verdict != Take:
		err = v.fault(fmt.Errorf("%v %d|%d with predecessor %d at %v stands behind %d",
			r.Kind, r.Publisher, r.Sequence, r.Prev, r.Position, have))
	}
	if err == nil && r.Time < v.time {
		err = v.fault(fmt.Errorf("%v %d|%d at %v: time goes back", r.Kind, r.Publisher, r.Sequence, r.Position))
	}
	if err != nil {
		return err
	}
	if err := v.endStretch(Position(r.Position)); err != nil {
		return err
	}
	v.stretch[r.Publisher] = r.Sequence
	v.time = max(v.time, r.Time)
	v.report.Have[r.Publisher] = max(have, r.Sequence)
	v.highest[r.Publisher] = max(v.highest[r.Publisher], r.Sequence)
	v.report.Records++
	if r.Kind == Message {
		v.report.Messages++
	}
	return nil
}

// outline takes what a sealed segment says of its stretches.
func (v *verifier) outline(s summary) (err error) {
	if v.inside, v.rest, err = s.inside(); err != nil {
		return v.fault(err)
	}
	return nil
}

// endStretch checks the stretches that end at or before a position.
func (v *verifier) endStretch(at Position) error {
	for len(v.inside) > 0 {
		s, next := v.inside[0], v.rest
		if len(v.inside) > 1 {
			next = v.inside[1].first
		}
		if at < next {
			return nil
		}
		v.inside = v.inside[1:]
		said := make(bookmark.Vector)
		for _, h := range s.highest {
			said[h.Publisher] = h.Sequence
		}
		got := v.stretch
		v.stretch = make(bookmark.Vector)
		if !v.damaged && !maps.Equal(said, got) {
			return v.fault(fmt.Errorf("summary says that %v is in the stretch at %v, it is %v", said, s.first, got))
		}
	}
	return nil
}

// summary checks what a sealed segment says of its records.
func (v *verifier) summary(s summary) error {
	if err := v.endStretch(s.last); err != nil {
		return err
	}
	if len(v.highest) != len(s.highest) {
		return v.fault(fmt.Errorf("summary knows %d publishers, %d are there", len(s.highest), len(v.highest)))
	}
	for _, p := range v.highest.Publishers() {
		if got := s.of(p); got != v.highest[p] {
			return v.fault(fmt.Errorf("summary has publisher %d up to %d, it goes to %d", p, got, v.highest[p]))
		}
	}
	return nil
}

func (v *verifier) end() { v.report.Publishers = len(v.report.Have) }
