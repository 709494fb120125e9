package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// runBytes bounds how much of what was set aside is read to get at one run.
const runBytes = 64 << 10

// A run is records of one publisher that were set aside, each the predecessor
// of the next, not far from each other.
type run struct {
	from, to Position // of the first and of the last
	prev     uint64   // predecessor of the first
	least    uint64   // the first stands for least on: its sequence, or more if it is a range
	last     uint64   // sequence of the last
}

// extend adds a record to the run if it continues it.
func (n *run) extend(r *Record) bool {
	if r.Prev != n.last || first(r) != n.last+1 || Position(r.Position)-n.from > runBytes {
		return false
	}
	n.to, n.last = Position(r.Position), r.Sequence
	return true
}

// first returns the first sequence that r stands for; of a gone marker the
// last: a peer may have what stood before it.
func first(r *Record) uint64 {
	if r.Kind == Gone {
		return r.Sequence
	}
	return r.Prev + 1
}

// fits reports whether the next records from what was set aside may be taken
// before the peers have given all they have. Then nothing may be jumped: a
// marker or a message behind refused ones would turn away what a peer still sends.
func fits(have uint64, n run) bool { return n.prev <= have && n.least <= have+1 && have < n.last }

// An aside is the good records from behind the damage (R8), and what of them
// is still to be merged.
type aside struct {
	mu     sync.Mutex // held while merging, before Journal.mu
	cursor *seglog.Cursor
	runs   map[uint64][]run // by publisher, in order
}

// Damage returns what was found damaged at Open with SetAside, or nil; while
// it isn't nil, records are being merged from a peer and from what was set
// aside (R8).
func (j *Journal) Damage() *seglog.DamageError { return locked(&j.mu, &j.damage) }

// openAside prepares for merging, if Open has found damage or there is
// something that an earlier one had set aside.
func (j *Journal) openAside() error {
	j.damage = j.log.Damage()
	if err := j.refloor(); err != nil {
		return err
	}
	cursor, err := j.log.Aside()
	if err != nil || cursor == nil {
		return err
	}
	if j.damage == nil {
		j.damage = &seglog.DamageError{File: j.o.Dir, Position: j.end, Reason: "what was set aside is not merged yet"}
	}
	if !j.o.SetAside {
		return errors.Join(j.damage, cursor.Close())
	}
	j.aside = &aside{cursor: cursor, runs: make(map[uint64][]run)}
	j.merges.Store(true)
	changes, err := j.indexAside()
	j.aside.sort()
	for _, c := range changes {
		if err == nil {
			err = j.appendChangeLocked(c) // not shared yet
		}
	}
	if err != nil {
		return errors.Join(err, cursor.Close())
	}
	j.publishDiverged() // what stands there is durable
	return nil
}

// refloor raises the floors to what is missing before the oldest records, if
// what said so is damaged, or was cut off as torn: it is gone all the same. A
// peer would be sent what stands behind it, and refuse that as a hole.
func (j *Journal) refloor() error {
	if j.damage == nil && !slices.ContainsFunc(j.table.sorted(), (*publisher).lowFloor) {
		return nil
	}
	gone := j.table.haves() // of whom there is no record: all
	seen := make(map[uint64]bool)
	err := j.scan(j.log.First(), j.end, func(r *Record) bool {
		if !seen[r.Publisher] {
			seen[r.Publisher] = true
			gone[r.Publisher] = first(r) - 1
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("look for what is missing: %w", err)
	}
	var floors []bookmark.Bookmark
	for _, p := range j.table.sorted() {
		if floor := min(gone[p.id], p.have); floor > p.floor {
			floors = append(floors, bookmark.Bookmark{Publisher: p.id, Sequence: floor})
		}
	}
	// Logged, for when the journal is whole again and nobody looks any more.
	for part := range slices.Chunk(floors, floorsPerRecord) {
		if err := j.appendChangeLocked(change{kind: stateFloors, list: part}); err != nil { // not shared yet
			return err
		}
	}
	return nil
}

// indexAside notes what was set aside, and returns the changes that stand
// there: floors and intervals count whatever was damaged. A publisher that was
// forgotten there is known again until it is forgotten again, and peers and the
// cluster are remembered as they were last.
func (j *Journal) indexAside() (changes []change, err error) {
	var r Record
	for {
		rec, err := j.aside.cursor.Next()
		if err == io.EOF || j.lostAside(err) {
			return changes, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read what was set aside: %w", err)
		}
		if Kind(rec.Kind) == kindState {
			c, err := decodeState(rec.Payload)
			if err != nil {
				return nil, fmt.Errorf("set aside at %v: %w", rec.Position, err)
			}
			if c.kind != stateForgotten && c.kind != statePeer && (c.kind != stateCluster || j.table.cluster.ID.IsZero()) {
				changes = append(changes, c)
			}
			continue
		}
		if err := decodeLogged(rec, &r); err != nil {
			return nil, err
		}
		j.table.lastTime = max(j.table.lastTime, r.Time)
		j.aside.add(&r)
	}
}

// sort puts runs in order: what was set aside at different times overlaps.
func (a *aside) sort() {
	for _, runs := range a.runs {
		slices.SortStableFunc(runs, func(x, y run) int {
			return cmp.Or(cmp.Compare(x.least, y.least), cmp.Compare(x.last, y.last))
		})
	}
}

// lostAside reports whether what was set aside is damaged itself. What can't
// be read of it comes from a peer, or is a hole.
func (j *Journal) lostAside(err error) bool {
	var d *seglog.DamageError
	if !errors.As(err, &d) {
		return false
	}
	j.o.Log.Error("journal: what was set aside is damaged too", "err", d)
	return true
}

func (a *aside) add(r *Record) {
	if mut.On(mut.R8AsideForgotten) {
		return
	}
	runs := a.runs[r.Publisher]
	if n := len(runs); n > 0 && runs[n-1].extend(r) {
		return
	}
	a.runs[r.Publisher] = append(runs, run{from: Position(r.Position), to: Position(r.Position), prev: r.Prev, least: first(r), last: r.Sequence})
}

// Merge takes of what was set aside all that follows what the journal has. Who
// links the journal calls it before: a peer that lacks such a record, and has
// nothing of its publisher to send, would mark it as gone.
func (j *Journal) Merge() error {
	a := j.merging()
	if a == nil || mut.On(mut.R8MergeLater) {
		return nil
	}
	a.mu.Lock()
	publishers := slices.Sorted(maps.Keys(a.runs))
	a.mu.Unlock()
	for _, publisher := range publishers {
		if err := j.mergeAside(publisher); err != nil {
			return err
		}
	}
	return nil
}

// mergeAside takes what was set aside of a publisher and follows what has just been taken.
func (j *Journal) mergeAside(publisher uint64) error {
	a := j.merging()
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for runs := a.runs[publisher]; len(runs) > 0; runs = runs[1:] {
		s, _ := j.State(publisher)
		if s.Have < runs[0].last {
			if !fits(s.Have, runs[0]) {
				a.runs[publisher] = runs
				return nil
			}
			if err := j.takeRun(a, publisher, runs[0]); err != nil {
				return err
			}
		}
	}
	delete(a.runs, publisher)
	return nil
}

func (j *Journal) merging() *aside { return locked(&j.mu, &j.aside) }

// takeRun offers the records of a run to admission.
func (j *Journal) takeRun(a *aside, publisher uint64, n run) error {
	var r Record
	for a.cursor.Seek(n.from); ; {
		rec, err := a.cursor.Next()
		if err == io.EOF || err == nil && rec.Position > n.to || j.lostAside(err) {
			return nil
		}
		if err == nil && Kind(rec.Kind) != kindState {
			err = decodeLogged(rec, &r)
		}
		if err != nil {
			return fmt.Errorf("journal: merge what was set aside: %w", err)
		}
		if Kind(rec.Kind) == kindState || r.Publisher != publisher {
			continue
		}
		r.Time = 0 // it is taken now
		v, err := j.appendAlone(&r)
		if err != nil {
			return err
		}
		j.notify(&r, v)
	}
}

// Healed tells that the peers have given all they have: the rest of what was
// set aside is taken where it fits, holes that nobody can fill are marked
// Gone, and Damage returns nil from then on.
func (j *Journal) Healed() error {
	if j.Damage() == nil {
		return nil
	}
	a := j.merging()
	if a != nil {
		if err := j.mergeRest(a); err != nil {
			return err
		}
		// Only what is durable again may be dropped there.
		if err := j.Sync(); err != nil {
			return err
		}
		if err := j.closeAside(); err != nil {
			return fmt.Errorf("journal: drop what was set aside: %w", err)
		}
		if err := j.log.DropAside(); err != nil {
			return j.fail(fmt.Errorf("journal: drop what was set aside: %w", err))
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.damage = nil
	return nil
}

// mergeRest takes all that is left of what was set aside, ordered by publisher.
func (j *Journal) mergeRest(a *aside) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, publisher := range slices.Sorted(maps.Keys(a.runs)) {
		for _, n := range a.runs[publisher] {
			if s, _ := j.State(publisher); n.last <= s.Have {
				continue
			}
			if err := j.closeHole(publisher, n); err != nil {
				return err
			}
			if err := j.takeRun(a, publisher, n); err != nil {
				return err
			}
		}
		delete(a.runs, publisher)
	}
	return nil
}

// reasonDamaged is told to a publisher that still keeps what was lost.
const reasonDamaged = "lost: every disk that had it is damaged there"

// closeHole marks as gone what is missing before a run. The running CRC goes
// on from where it was: the messages that are gone are in nobody's. One that
// was never on two disks is still kept by its publisher, to whom the marker is
// a refusal: it would be let go in silence otherwise (R14).
func (j *Journal) closeHole(publisher uint64, n run) error {
	s, _ := j.State(publisher)
	if n.prev <= s.Have || s.Diverged > 0 { // nothing more is taken of one that has diverged (R11)
		return nil
	}
	j.o.Log.Error("journal: messages are lost: damaged here and no peer has them",
		"publisher", publisher, "from", s.Have+1, "to", n.prev)
	gone := Record{Kind: Gone, Publisher: publisher, Sequence: n.prev, Prev: s.Have, RunningCRC: s.RunningCRC, Reason: []byte(reasonDamaged), Cause: Lost}
	v, err := j.appendAlone(&gone)
	j.notify(&gone, v)
	if err == nil && v != Take && v != Duplicate {
		panic(fmt.Sprintf("BUG: a gone marker got verdict %d", v))
	}
	return err
}

// closeAside releases what merging holds.
func (j *Journal) closeAside() error {
	j.mu.Lock()
	a := j.aside
	j.aside = nil
	j.merges.Store(false)
	j.mu.Unlock()
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cursor.Close()
}
