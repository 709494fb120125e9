package journal

import (
	"errors"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/format"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// maxFaults is the maximum number of faults that an inspection lists. It counts the others.
const maxFaults = 1000

// A Report has the counts of an inspection.
type Report struct {
	Segments   int
	Records    int // of all kinds, without state records
	Messages   int // of kind Message
	Publishers int
	Have       bookmark.Vector // of every publisher
}

// An Inspection is the result of Inspect.
type Inspection struct {
	Report
	Log               seglog.Inspection
	States            []PublisherState   // of each publisher, ordered by id; Durable is 0
	Cluster           Cluster            // the journal's group
	DegradedIntervals []DegradedInterval // those that are remembered
	Faults            []error            // violations of G3 and G4, and contradictions; the first thousand
	FaultCount        int                // the number of all faults
}

// Sound reports whether the journal has no fault, no damage and no set-aside records. A torn
// tail is not a fault.
func (i *Inspection) Sound() bool {
	return i.FaultCount == 0 && len(i.Log.Damage) == 0 && i.Log.Aside == nil
}

// Inspect reads a whole journal that is not open, and changes nothing. It checks that each
// identity is there once (G3), that the records of each publisher are in order and none lacks
// its predecessor (G4), that times do not go back, and that heads and summaries agree with
// the records.
//
// Inspect calls fn, unless that is nil, with all records in order, including those after
// damage. A record is valid during the call. The faults are in the Inspection. The error is
// one of reading or of fn, or ErrNotJournal.
func Inspect(disk seglog.FS, dir string, fn func(*Record) error) (Inspection, error) {
	i := inspector{table: newTable(nil), fn: fn, owners: make(map[uint64]owner)}
	i.found.Have = make(bookmark.Vector)
	log, err := seglog.Inspect(disk, dir, seglog.Visitor{Segment: i.segment, Record: i.record, Damage: i.damage})
	i.found.Log = log
	if err != nil {
		return i.found, fmt.Errorf("journal: %w", err)
	}
	i.found.Publishers, i.found.DegradedIntervals, i.found.Cluster = len(i.found.Have), i.table.intervals, i.table.cluster
	for _, p := range i.table.sorted() {
		i.found.States = append(i.found.States, p.state())
	}
	return i.found, nil
}

// An inspector builds an Inspection while seglog.Inspect visits the log.
type inspector struct {
	table   *table
	fn      func(*Record) error
	found   Inspection
	time    int64            // of the newest record
	owners  map[uint64]owner // of publishers, as the records say
	scratch Record           // buffer of record

	// Of the segment that is being read.
	summary    []byte
	undamaged  bool            // no damage in it so far
	mayLack    bool            // records may be missing between the last one and the next head
	highest    bookmark.Vector // highest sequence of each publisher
	extents    []extent        // of its outline, from the one that is being read
	extentsEnd Position        // the end of these extents
	inExtent   bookmark.Vector // highest sequence of each publisher in the extent that is being read
}

// addFault adds a fault.
func (i *inspector) addFault(fault error) {
	if i.found.FaultCount++; i.found.FaultCount <= maxFaults {
		i.found.Faults = append(i.found.Faults, fault)
	}
}

// segment begins a segment.
func (i *inspector) segment(s seglog.Segment) error {
	i.endSegment()
	i.summary, i.undamaged, i.found.Segments = s.Summary, true, i.found.Segments+1
	i.highest, i.inExtent, i.extents = make(bookmark.Vector), make(bookmark.Vector), nil
	if err := i.head(s.Head); err != nil {
		return err
	}
	sum, err := decodeSummary(s.Summary)
	if err == nil {
		if i.extents, i.extentsEnd, err = sum.decodeOutline(); err != nil {
			i.addFault(err)
		}
	}
	return nil
}

// head checks the head of a segment. It returns an error only if the head belongs to another
// kind of log or is of a later version. It adds other faults to the Inspection.
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
		i.addFault(err)
		return nil
	}
	have, owners := i.table.haveVector(), i.table.ownersByID()
	i.compareHead(have)
	i.compareOwners(owners)
	i.found.Have, i.owners, i.mayLack = have, owners, false
	return nil
}

// damage notes a damaged place.
func (i *inspector) damage(*seglog.DamageError) error {
	i.undamaged, i.mayLack = false, true
	return nil
}

// record checks a record and passes it to fn.
func (i *inspector) record(rec seglog.Record) error {
	if Kind(rec.Kind) == kindState {
		i.state(rec)
		return nil
	}
	r := &i.scratch
	if err := decodeLogged(rec, r); err != nil {
		i.addFault(err)
		return nil
	}
	i.check(r)
	i.table.apply(r, 0)
	if i.fn == nil {
		return nil
	}
	return i.fn(r)
}

// state applies a state record.
func (i *inspector) state(rec seglog.Record) {
	c, err := decodeChange(rec.Payload)
	if err != nil {
		i.addFault(fmt.Errorf("record at %v: %w", rec.Position, err))
		return
	}
	for _, p := range c.ids {
		if c.kind == stateForgotten { // it may begin again
			delete(i.found.Have, p)
			delete(i.owners, p)
		}
	}
	for _, s := range c.owners {
		i.noteOwner(s.Publisher, s.Owner)
	}
	i.table.applyChange(c)
}
