package journal

import (
	"errors"
	"fmt"
	"maps"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// verifyMaxMessage is what a journal that is only read may hold: its own limit isn't known.
const verifyMaxMessage = 256 << 20

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
	j, err := Open(Options{FS: fsys, Dir: dir, MaxMessage: verifyMaxMessage})
	if err != nil {
		return Report{}, err
	}
	report, err := j.Verify()
	return report, errors.Join(err, j.Close())
}

// Dump calls fn with the records of a closed journal, in order, until it
// returns an error. The record is valid during the call.
func Dump(fsys seglog.FS, dir string, fn func(*Record) error) error {
	j, err := Open(Options{FS: fsys, Dir: dir, MaxMessage: verifyMaxMessage})
	if err != nil {
		return err
	}
	return errors.Join(j.dump(fn), j.Close())
}

func (j *Journal) dump(fn func(*Record) error) error {
	f := j.Follow(j.First(), Durable)
	defer f.Close()
	var r Record
	for {
		ok, err := f.Next(&r)
		if err != nil || !ok {
			return err
		}
		if err := fn(&r); err != nil {
			return err
		}
	}
}

// Verify is the function Verify for a journal that is open. It checks what is
// appended at the moment; retention must be at rest.
func (j *Journal) Verify() (Report, error) {
	segs, err := j.segments()
	if err != nil {
		return Report{}, fmt.Errorf("journal: verify: %w", err)
	}
	head, err := j.log.Head(segs[0].first)
	if err != nil {
		return Report{}, fmt.Errorf("journal: verify: %w", err)
	}
	have, err := headVector(head)
	if err != nil {
		return Report{}, fmt.Errorf("journal: verify: %w", err)
	}
	v := verifier{j: j, report: Report{Segments: len(segs), Have: have}}
	for i, s := range segs {
		if err := v.segment(s, i == len(segs)-1); err != nil {
			return v.report, fmt.Errorf("journal: verify: segment at %v: %w", s.first, err)
		}
	}
	v.report.Publishers = len(v.report.Have)
	return v.report, v.table()
}

// A verifier goes through a journal's records.
type verifier struct {
	j      *Journal
	report Report
	time   int64
}

// segment checks one segment and what stands at its ends.
func (v *verifier) segment(s segment, last bool) error {
	head, err := v.j.log.Head(s.first)
	if err != nil {
		return err
	}
	have, err := headVector(head)
	if err != nil {
		return err
	}
	if len(head) > 0 && !maps.Equal(have, v.report.Have) {
		return fmt.Errorf("head says %v, the records before it %v", have, v.report.Have)
	}
	highest, err := v.records(s)
	if err != nil || last {
		return err
	}
	if len(highest) != len(s.summary.highest) {
		return fmt.Errorf("summary knows %d publishers, %d are there", len(s.summary.highest), len(highest))
	}
	for p, sequence := range highest {
		if got := s.summary.of(p); got != sequence {
			return fmt.Errorf("summary has publisher %d up to %d, it goes to %d", p, got, sequence)
		}
	}
	return nil
}

// records checks what stands in a segment and returns each publisher's highest sequence.
func (v *verifier) records(s segment) (bookmark.Vector, error) {
	highest := make(bookmark.Vector)
	var r Record
	err := v.j.scanLog(s.first, s.end, func(rec seglog.Record) (bool, error) {
		if Kind(rec.Kind) == kindState {
			return true, v.change(rec)
		}
		err := decodeLogged(rec, &r)
		if err == nil {
			err = v.record(&r)
		}
		highest[r.Publisher] = r.Sequence
		return true, err
	})
	return highest, err
}

// change notes which publishers retention has let go of: they may begin anew.
func (v *verifier) change(rec seglog.Record) error {
	c, err := decodeState(rec.Payload)
	for _, p := range c.forgotten {
		delete(v.report.Have, p)
	}
	return err
}

// record checks one record against what stands before it.
func (v *verifier) record(r *Record) error {
	have := v.report.Have[r.Publisher]
	if verdict := admit(have, r.Prev, r.Sequence); verdict != Take {
		return fmt.Errorf("%v %d|%d with predecessor %d at %v stands behind %d",
			r.Kind, r.Publisher, r.Sequence, r.Prev, r.Position, have)
	}
	if r.Time < v.time {
		return fmt.Errorf("%v %d|%d at %v: time goes back", r.Kind, r.Publisher, r.Sequence, r.Position)
	}
	v.time = r.Time
	v.report.Have[r.Publisher] = r.Sequence
	v.report.Records++
	if r.Kind == Message {
		v.report.Messages++
	}
	return nil
}

// table checks that the table knows what the records say.
func (v *verifier) table() error {
	v.j.mu.Lock()
	have := v.j.table.haves()
	v.j.mu.Unlock()
	if !maps.Equal(have, v.report.Have) {
		return fmt.Errorf("journal: verify: the table says %v, the records %v", have, v.report.Have)
	}
	return nil
}
