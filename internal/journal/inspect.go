package journal

import (
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// faultsMost is how many faults an inspection remembers; of more only the count is known.
const faultsMost = 1000

// An Inspection says what Inspect has found in a journal.
type Inspection struct {
	Report
	Log       seglog.Inspection
	States    []State    // of each publisher, by publisher: have and floor, Durable is 0
	Cluster   Cluster    // that it belongs to
	Intervals []Interval // degraded ones that are remembered
	Faults    []error    // what breaks a promise (G3, G4) or contradicts itself, the first thousand
	Faulty    int        // how many faults there are
}

// Sound reports whether nothing is wrong. A torn tail isn't.
func (i *Inspection) Sound() bool {
	return i.Faulty == 0 && len(i.Log.Damage) == 0 && i.Log.Aside == nil
}

// Inspect reads all of a journal that nobody has open, checks it as Verify
// does, and calls fn, unless that is nil, with its records in order, also with
// those behind damage. It changes nothing. What is wrong is told in the
// Inspection; the error is about reading, one of fn, or ErrNotJournal. The
// record is valid during the call.
func Inspect(fsys seglog.FS, dir string, fn func(*Record) error) (Inspection, error) {
	i := inspector{table: newTable(nil), fn: fn}
	i.verifier = newVerifier(i.note)
	log, err := seglog.Inspect(fsys, dir, seglog.Visitor{Segment: i.segment, Record: i.record, Damage: i.damage})
	i.found.Log = log
	if err != nil {
		return i.found, fmt.Errorf("journal: %w", err)
	}
	i.verifier.end()
	i.found.Report, i.found.Intervals, i.found.Cluster = i.verifier.report, i.table.intervals, i.table.cluster
	for _, p := range i.table.sorted() {
		i.found.States = append(i.found.States, p.state())
	}
	return i.found, nil
}

// An inspector makes an Inspection of what the log's one visits.
type inspector struct {
	verifier *verifier
	table    *table
	fn       func(*Record) error
	found    Inspection
	summary  []byte // of the segment that is being read
	whole    bool   // nothing of it is damaged
}

// note notes a fault and goes on.
func (i *inspector) note(fault error) error {
	if i.found.Faulty++; i.found.Faulty <= faultsMost {
		i.found.Faults = append(i.found.Faults, fault)
	}
	return nil
}

func (i *inspector) segment(s seglog.Segment) error {
	if err := i.endSegment(); err != nil {
		return err
	}
	i.summary, i.whole = s.Summary, true
	if err := i.verifier.head(s.Head); err != nil {
		return err
	}
	if sum, err := decodeSummary(s.Summary); err == nil {
		if err := i.verifier.outline(sum); err != nil {
			return err
		}
	}
	if len(s.Head) == 0 {
		i.table.nextSegment()
		return nil
	}
	if err := i.table.RecoverHead(s.Head); err != nil {
		i.table.reset() // its verifier has noted that
	}
	return nil
}

// endSegment checks the summary of the segment that was read, if it is whole.
func (i *inspector) endSegment() error {
	if len(i.summary) == 0 || !i.whole {
		return nil
	}
	s, err := decodeSummary(i.summary)
	if err != nil {
		return i.note(err)
	}
	return i.verifier.summary(s)
}

func (i *inspector) record(rec seglog.Record) error {
	r, err := i.verifier.logged(rec)
	if err != nil {
		return err
	}
	if r == nil {
		if c, err := decodeState(rec.Payload); err == nil && Kind(rec.Kind) == kindState {
			i.table.applyChange(c)
		}
		return nil
	}
	i.table.apply(r, 0)
	if i.fn == nil {
		return nil
	}
	return i.fn(r)
}

func (i *inspector) damage(*seglog.DamageError) error {
	i.whole, i.verifier.damaged = false, true
	return nil
}

// Dump calls fn with the records of a journal that nobody has open, in order,
// until it returns an error, and changes nothing. The error is a
// *seglog.DamageError if some can't be read, or wait to be merged again. The
// record is valid during the call.
func Dump(fsys seglog.FS, dir string, fn func(*Record) error) error {
	found, err := Inspect(fsys, dir, fn)
	switch {
	case err != nil:
		return err
	case len(found.Log.Damage) > 0:
		return fmt.Errorf("journal: dump: %w", found.Log.Damage[0])
	case found.Log.Aside != nil:
		return fmt.Errorf("journal: dump: %w", found.Log.Aside)
	}
	return nil
}
