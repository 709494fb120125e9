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
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// asideRunBytes bounds the length of a run in the set-aside log, so that merging a run reads
// little.
const asideRunBytes = 64 << 10

// An asideRun is a run of set-aside records of one publisher. Each record is the predecessor
// of the next, and they are close together in the log.
type asideRun struct {
	from, to    Position // positions of the first and of the last record
	prev        uint64   // predecessor of the first record
	firstNumber uint64   // first sequence that the first record stands for, see firstNumber
	last        uint64   // sequence of the last record
}

// extend adds a record to the run if the record continues it.
func (n *asideRun) extend(r *Record) bool {
	if r.Prev != n.last || firstNumber(r) != n.last+1 || Position(r.Position)-n.from > asideRunBytes {
		return false
	}
	n.to, n.last = Position(r.Position), r.Sequence
	return true
}

// firstNumber returns the first sequence that r stands for. For a gone marker it returns the
// last one, because a peer may have the messages before it.
func firstNumber(r *Record) uint64 {
	if r.Kind == Gone {
		return r.Sequence
	}
	return r.Prev + 1
}

// mayMerge reports whether a run may be merged before the peers have sent all their records.
// Until then no number may be skipped: otherwise a marker, or a message after refused ones,
// would make the journal refuse records that a peer still sends.
func mayMerge(have uint64, n asideRun) bool {
	return n.prev <= have && n.firstNumber <= have+1 && have < n.last
}

// An asideLog has the good records after the damage (R8) that are not merged yet.
type asideLog struct {
	mu     sync.Mutex // held while merging; locked before Journal.mu
	cursor *seglog.Cursor
	runs   map[uint64][]asideRun // by publisher, in order
}

// Damage returns the damage that Open has found with SetAside, or nil. As long as it is not
// nil, records from peers and set-aside records are being merged (R8).
func (j *Journal) Damage() *seglog.DamageError { return readLocked(&j.mu, &j.damage) }

// openAside prepares the merge if Open has found damage, or if an earlier Open has set
// records aside.
func (j *Journal) openAside() error {
	j.damage = j.log.Damage()
	if err := j.repairFloors(); err != nil {
		return err
	}
	cursor, err := j.log.Aside()
	if err != nil || cursor == nil {
		return err
	}
	if j.damage == nil {
		j.damage = &seglog.DamageError{File: j.o.Dir, Position: j.end, Reason: "set-aside records are not merged yet"}
	}
	if !j.o.SetAside {
		return errors.Join(j.damage, cursor.Close())
	}
	j.asideLog = &asideLog{cursor: cursor, runs: make(map[uint64][]asideRun)}
	j.hasAside.Store(true)
	changes, err := j.indexAside()
	j.asideLog.sort()
	for _, c := range changes {
		if err == nil {
			err = j.appendChangeLocked(c) // not shared yet
		}
	}
	if err != nil {
		return errors.Join(err, cursor.Close())
	}
	j.publishDiverged() // the set-aside records are durable
	return nil
}

// repairFloors raises the floor of each publisher to the number before its oldest record. The
// floor records may be damaged or cut off as torn, but the messages are gone all the same.
// With the old floors a link would send the records after the missing ones, and the peer
// would refuse them as a hole.
func (j *Journal) repairFloors() error {
	if j.damage == nil && !slices.ContainsFunc(j.table.sorted(), (*publisher).floorTooLow) {
		return nil
	}
	lastMissing := j.table.haveVector() // a publisher without records lacks everything
	seen := make(map[uint64]bool)
	err := j.scan(j.log.First(), j.end, func(r *Record) bool {
		if !seen[r.Publisher] {
			seen[r.Publisher] = true
			lastMissing[r.Publisher] = firstNumber(r) - 1
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("look for missing records: %w", err)
	}
	var floors []bookmark.Bookmark
	for _, p := range j.table.sorted() {
		if floor := min(lastMissing[p.id], p.have); floor > p.floor {
			floors = append(floors, bookmark.Bookmark{Publisher: p.id, Sequence: floor})
		}
	}
	// The floors are logged, because they are not computed again once the journal is whole.
	for part := range slices.Chunk(floors, maxStateEntries) {
		if err := j.appendChangeLocked(change{kind: stateFloors, list: part}); err != nil { // not shared yet
			return err
		}
	}
	return nil
}

// indexAside indexes the set-aside records and returns the state changes among them, except three
// kinds: forgotten publishers, since each stays known here until the group forgets it again;
// remembered peers; and a cluster, if the table has one.
func (j *Journal) indexAside() (changes []change, err error) {
	var r Record
	for {
		rec, err := j.asideLog.cursor.Next()
		if err == io.EOF || j.asideDamaged(err) {
			return changes, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read set-aside records: %w", err)
		}
		if Kind(rec.Kind) == kindState {
			c, err := decodeChange(rec.Payload)
			if err != nil {
				return nil, fmt.Errorf("set-aside state record at %v: %w", rec.Position, err)
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
		j.asideLog.add(&r)
	}
}

// sort orders the runs. Records that were set aside at different times overlap.
func (a *asideLog) sort() {
	for _, runs := range a.runs {
		slices.SortStableFunc(runs, func(x, y asideRun) int {
			return cmp.Or(cmp.Compare(x.firstNumber, y.firstNumber), cmp.Compare(x.last, y.last))
		})
	}
}

// asideDamaged reports whether err is damage of the set-aside records. The unreadable records
// come from a peer, or become a hole.
func (j *Journal) asideDamaged(err error) bool {
	var d *seglog.DamageError
	if !errors.As(err, &d) {
		return false
	}
	j.later.add(func() { j.o.Log.Error("the records that were set aside behind damage are damaged too", "error", d) })
	return true
}

func (a *asideLog) add(r *Record) {
	if failpoint.On(failpoint.R8AsideForgotten) {
		return
	}
	runs := a.runs[r.Publisher]
	if n := len(runs); n > 0 && runs[n-1].extend(r) {
		return
	}
	a.runs[r.Publisher] = append(runs, asideRun{from: Position(r.Position), to: Position(r.Position), prev: r.Prev, firstNumber: firstNumber(r), last: r.Sequence})
}

// MergeAside takes all set-aside records that directly follow the records of the journal. It
// must be called before the journal is linked. Otherwise a peer that lacks such a record,
// and has nothing else of its publisher to send, would send a gone marker for it.
func (j *Journal) MergeAside() error {
	a := j.currentAside()
	if a == nil || failpoint.On(failpoint.R8MergeLater) {
		return nil
	}
	a.mu.Lock()
	publishers := slices.Sorted(maps.Keys(a.runs))
	a.mu.Unlock()
	defer j.later.do()
	for _, publisher := range publishers {
		if err := j.mergePublisher(publisher); err != nil {
			return err
		}
	}
	return nil
}

// mergePublisher takes the set-aside records of a publisher that follow its newest record.
func (j *Journal) mergePublisher(publisher uint64) error {
	a := j.currentAside()
	if a == nil {
		return nil
	}
	defer j.later.do()
	a.mu.Lock()
	defer a.mu.Unlock()
	for runs := a.runs[publisher]; len(runs) > 0; runs = runs[1:] {
		s, _ := j.State(publisher)
		if s.Have < runs[0].last {
			if !mayMerge(s.Have, runs[0]) {
				a.runs[publisher] = runs
				return nil
			}
			if err := j.mergeRun(a, publisher, runs[0]); err != nil {
				return err
			}
		}
	}
	delete(a.runs, publisher)
	return nil
}

func (j *Journal) currentAside() *asideLog { return readLocked(&j.mu, &j.asideLog) }

// mergeRun appends the records of a run that admission accepts.
func (j *Journal) mergeRun(a *asideLog, publisher uint64, n asideRun) error {
	var r Record
	for a.cursor.Seek(n.from); ; {
		rec, err := a.cursor.Next()
		if err == io.EOF || err == nil && rec.Position > n.to || j.asideDamaged(err) {
			return nil
		}
		if err == nil && Kind(rec.Kind) != kindState {
			err = decodeLogged(rec, &r)
		}
		if err != nil {
			return fmt.Errorf("journal: merge set-aside records: %w", err)
		}
		if Kind(rec.Kind) == kindState || r.Publisher != publisher {
			continue
		}
		r.Time = 0 // the journal takes the record now
		v, err := j.appendOne(&r)
		if err != nil {
			return err
		}
		j.notifyAppend(&r, v)
	}
}

// FinishMerge ends the merge. It must be called once the peers have sent all their records. It
// takes the remaining set-aside records, and appends a gone marker for each hole that no
// instance can fill. From then on Damage returns nil.
func (j *Journal) FinishMerge() error {
	if j.Damage() == nil {
		return nil
	}
	a := j.currentAside()
	if a != nil {
		if err := j.mergeRemaining(a); err != nil {
			return err
		}
		// Set-aside records may be dropped only once their copies are durable.
		if err := j.Sync(); err != nil {
			return err
		}
		if err := j.closeAside(); err != nil {
			return fmt.Errorf("journal: drop set-aside records: %w", err)
		}
		if err := j.log.DropAside(); err != nil {
			return j.setFailed(fmt.Errorf("journal: drop set-aside records: %w", err))
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.damage = nil
	return nil
}

// mergeRemaining takes all remaining set-aside records, ordered by publisher, with a gone
// marker for each hole before them.
func (j *Journal) mergeRemaining(a *asideLog) error {
	defer j.later.do()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, publisher := range slices.Sorted(maps.Keys(a.runs)) {
		for _, n := range a.runs[publisher] {
			if s, _ := j.State(publisher); n.last <= s.Have {
				continue
			}
			if err := j.appendLostMarker(publisher, n); err != nil {
				return err
			}
			if err := j.mergeRun(a, publisher, n); err != nil {
				return err
			}
		}
		delete(a.runs, publisher)
	}
	return nil
}

// reasonDamaged is the reason that a publisher gets for a lost message that it still keeps.
const reasonDamaged = "lost: every disk that had it is damaged there"

// appendLostMarker appends a gone marker for the numbers that are missing before a run. The
// running CRC stays as it was, because no instance has these messages. The publisher still
// keeps any of them that was never on two disks. The marker rejects these messages; otherwise
// the publisher would let them go without a report (R14).
func (j *Journal) appendLostMarker(publisher uint64, n asideRun) error {
	s, _ := j.State(publisher)
	if n.prev <= s.Have || s.Diverged > 0 { // a diverged publisher takes no more records (R11)
		return nil
	}
	j.later.add(func() {
		j.o.Log.Error("messages are lost: they are damaged here and no peer has them", "publisher", publisher, "first", s.Have+1, "last", n.prev)
	})
	marker := Record{Kind: Gone, Publisher: publisher, Sequence: n.prev, Prev: s.Have, RunningCRC: s.RunningCRC, Reason: []byte(reasonDamaged), Cause: Lost}
	v, err := j.appendOne(&marker)
	j.notifyAppend(&marker, v)
	if err == nil && v != Accepted && v != Duplicate {
		panic(fmt.Sprintf("BUG: a gone marker got verdict %d", v))
	}
	return err
}

// closeAside releases the set-aside log.
func (j *Journal) closeAside() error {
	j.mu.Lock()
	a := j.asideLog
	j.asideLog = nil
	j.hasAside.Store(false)
	j.mu.Unlock()
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cursor.Close()
}
