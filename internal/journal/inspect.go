package journal

import (
	"errors"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/format"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// faultsMost is how many faults an inspection remembers; of more only the count is known.
const faultsMost = 1000

// A Report counts what an inspection has read.
type Report struct {
	Segments   int
	Records    int // of all kinds, state records left out
	Messages   int // of kind Message
	Publishers int
	Have       bookmark.Vector // of every publisher
}

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

// Inspect reads all of a journal that nobody has open, and checks that each
// identity stands in it once (G3), each publisher's in order, none without its
// predecessor (G4), that times don't go back, and that heads and summaries say
// what is there. It calls fn, unless that is nil, with the records in order, also
// with those behind damage. It changes nothing. What is wrong is told in the
// Inspection; the error is about reading, one of fn, or ErrNotJournal. The
// record is valid during the call.
func Inspect(fsys seglog.FS, dir string, fn func(*Record) error) (Inspection, error) {
	i := inspector{table: newTable(nil), fn: fn}
	i.found.Have = make(bookmark.Vector)
	log, err := seglog.Inspect(fsys, dir, seglog.Visitor{Segment: i.segment, Record: i.record, Damage: i.damage})
	i.found.Log = log
	if err != nil {
		return i.found, fmt.Errorf("journal: %w", err)
	}
	i.found.Publishers, i.found.Intervals, i.found.Cluster = len(i.found.Have), i.table.intervals, i.table.cluster
	for _, p := range i.table.sorted() {
		i.found.States = append(i.found.States, p.state())
	}
	return i.found, nil
}

// An inspector makes an Inspection of what the log's one visits.
type inspector struct {
	table *table
	fn    func(*Record) error
	found Inspection
	time  int64  // of the newest record
	last  Record // scratch

	// Of the segment that is being read.
	summary []byte
	whole   bool            // nothing of it is damaged
	damaged bool            // records may be missing between the last one and the next head
	highest bookmark.Vector // of each publisher
	inside  []stretch       // from the one on that is being read
	rest    Position        // where they end
	stretch bookmark.Vector // highest of each publisher in the one that is being read
}

// note notes a fault.
func (i *inspector) note(fault error) {
	if i.found.Faulty++; i.found.Faulty <= faultsMost {
		i.found.Faults = append(i.found.Faults, fault)
	}
}

// segment begins a segment.
func (i *inspector) segment(s seglog.Segment) error {
	i.endSegment()
	i.summary, i.whole, i.found.Segments = s.Summary, true, i.found.Segments+1
	i.highest, i.stretch, i.inside = make(bookmark.Vector), make(bookmark.Vector), nil
	if err := i.head(s.Head); err != nil {
		return err
	}
	sum, err := decodeSummary(s.Summary)
	if err == nil {
		if i.inside, i.rest, err = sum.inside(); err != nil {
			i.note(err)
		}
	}
	return nil
}

// head checks the head of a segment. The error says that it is not one of ours.
func (i *inspector) head(head []byte) error {
	if len(head) == 0 {
		i.table.nextSegment()
		return nil
	}
	err := i.table.RecoverHead(head)
	if _, newer := errors.AsType[*format.VersionError](err); newer || errors.Is(err, ErrNotJournal) {
		return err
	}
	if err != nil {
		i.table.reset()
		i.note(err)
		return nil
	}
	have := i.table.haves()
	i.before(have)
	i.found.Have, i.damaged = have, false
	return nil
}

func (i *inspector) damage(*seglog.DamageError) error {
	i.whole, i.damaged = false, true
	return nil
}

func (i *inspector) record(rec seglog.Record) error {
	if Kind(rec.Kind) == kindState {
		i.state(rec)
		return nil
	}
	r := &i.last
	if err := decodeLogged(rec, r); err != nil {
		i.note(err)
		return nil
	}
	i.check(r)
	i.table.apply(r, 0)
	if i.fn == nil {
		return nil
	}
	return i.fn(r)
}

// state takes in a state record.
func (i *inspector) state(rec seglog.Record) {
	c, err := decodeState(rec.Payload)
	if err != nil {
		i.note(fmt.Errorf("record at %v: %w", rec.Position, err))
		return
	}
	if c.kind == stateForgotten {
		for _, p := range c.ids { // they may begin anew
			delete(i.found.Have, p)
		}
	}
	i.table.applyChange(c)
}
