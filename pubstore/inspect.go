package pubstore

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/boltfile"
	"github.com/holdfast-mq/holdfast/internal/intern"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// An Inspection describes a store that is not open, and the effect that opening it would have now.
type Inspection struct {
	Name    string // client name the store was first used with; empty: never used
	Counter uint64 // number of logons so far
	Closed  bool   // the store was closed cleanly
	// Renews is true if opening begins a new life: the store was not closed and the machine
	// has booted since, or the database may lack its last commit.
	Renews bool
	Lives  []InspectedLife // oldest first
	// Damage lists the reasons why the store cannot be opened. For a file store the list is
	// complete, and Lives has everything that is still readable.
	Damage []error
	// Torn is the length in bytes of a torn end that opening cuts off (File). It belongs to a
	// message whose Append never returned, or comes from a power cut.
	Torn int64
}

// An InspectedLife is one life as InspectFile and InspectBolt find it.
type InspectedLife struct {
	Life
	First   uint64  // lowest sequence in the store, 0 if there is none
	Bytes   int64   // size of the messages in the store
	Missing []Range // messages that should be in the store but cannot be read, ascending; not in Kept
}

// A Range is a range of sequences of a life, From and To included.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// InspectFile reads the file store in dir and changes nothing. Of the options it uses only BootID.
// If visit is not nil, InspectFile calls it with every message in the store, in no particular
// order. A client would send these messages to a server that has none of them. Body is valid during
// the call. The error is ErrNotStore if dir holds no store, ErrLocked if a process has it open, and
// a *VersionError if a later version has written it. Damage is reported in the Inspection, not as
// an error.
func InspectFile(dir string, o FileOptions, visit func(life string, m *Message) error) (Inspection, error) {
	i := fileInspector{disk: cmp.Or(o.fs, seglog.ReadOnly), dir: slashPath(dir)}
	err := i.inspect(visit)
	versionErr := asVersionError(dir, err)
	switch {
	case versionErr != nil:
		return i.found, versionErr
	case errors.Is(err, seglog.ErrLocked):
		err = ErrLocked
	case err == nil && len(i.state.lives)+len(i.found.Damage) == 0:
		err = ErrNotStore
	}
	if err != nil {
		return i.found, fmt.Errorf("inspect publish store %s: %w", dir, err)
	}
	i.state.fillInspection(o.BootID, &i.found)
	return i.found, nil
}

// fillInspection copies the state to an inspection. A nil boot means the system's boot id.
func (s *storeState) fillInspection(boot func() (string, error), found *Inspection) {
	id := currentBoot(boot)
	if !s.hasWholeTail(id) {
		s.assumeAllSent() // as opening does
	}
	found.Name, found.Counter, found.Closed, found.Renews = s.name, s.counter, s.closed, !s.hasWholeTail(id)
	for i, life := range s.listLives() {
		l := s.lives[i]
		found.Lives = append(found.Lives, InspectedLife{Life: life, First: l.next(0), Bytes: l.bytes, Missing: l.unreadable})
	}
}

// A fileInspector reads a File's log in the same way as OpenFile.
type fileInspector struct {
	disk    seglog.FS
	dir     string
	state   storeState
	damaged bool
	records uint64
	found   Inspection
}

func (i *fileInspector) inspect(visit func(string, *Message) error) error {
	log, err := seglog.Inspect(i.disk, i.dir, seglog.Visitor{Segment: i.segment, Record: i.replay, Damage: i.damage})
	if err != nil {
		return err
	}
	i.addLogFindings(log)
	for _, l := range i.state.lives {
		if err := l.prepareSlots(i.records); err != nil {
			i.found.Damage = append(i.found.Damage, err)
			return nil // without slots, nothing is known about its messages
		}
	}
	if _, err := seglog.Inspect(i.disk, i.dir, seglog.Visitor{Record: i.fill}); err != nil {
		return err
	}
	i.findMissing()
	if visit == nil {
		return nil
	}
	_, err = seglog.Inspect(i.disk, i.dir, seglog.Visitor{Record: func(r seglog.Record) error { return i.visitRecord(r, visit) }})
	return err
}

// addLogFindings copies the log's own findings.
func (i *fileInspector) addLogFindings(log seglog.Inspection) {
	for _, d := range log.Damage {
		i.found.Damage = append(i.found.Damage, d)
	}
	if log.Aside != nil {
		i.found.Damage = append(i.found.Damage, fmt.Errorf("an earlier opening with AcceptDamage did not finish: %w", log.Aside))
	}
	if log.Torn != nil {
		i.found.Torn = log.Torn.Bytes
	}
}

// findMissing lists the messages that should be in the store and were not found.
func (i *fileInspector) findMissing() {
	for _, l := range i.state.lives {
		if seq := l.nextMissing(0); seq != 0 {
			i.found.Damage = append(i.found.Damage, fmt.Errorf("message %d of publisher %d is missing", seq, l.publisher))
			l.giveUpMissing()
		}
	}
	if len(i.state.lives) > 0 {
		current := i.state.current()
		i.state.lives = slices.DeleteFunc(i.state.lives, func(l *lifeState) bool { return l != current && l.kept == 0 && l.unreadable == nil })
	}
}

func (i *fileInspector) segment(s seglog.Segment) error {
	state, ok := bytes.CutPrefix(s.Head, []byte(headMagic))
	if !ok && len(s.Head) > 0 {
		return ErrNotStore
	}
	if !ok {
		return nil // the head is damaged
	}
	err := i.state.decode(state)
	if asVersionError(i.dir, err) != nil {
		return err
	}
	if err != nil {
		i.found.Damage = append(i.found.Damage, err)
	}
	return nil
}

func (i *fileInspector) damage(*seglog.DamageError) error {
	i.damaged = true
	return nil
}

func (i *fileInspector) replay(r seglog.Record) error {
	i.records++
	if i.damaged {
		return i.state.replayAfterDamage(r)
	}
	err := i.state.replay(r.Kind, r.Payload)
	if asVersionError(i.dir, err) != nil {
		return err
	}
	if err != nil {
		i.found.Damage = append(i.found.Damage, fmt.Errorf("record at %d: %w", r.Position, err))
		i.damaged = true
	}
	return nil
}

func (i *fileInspector) fill(r seglog.Record) error {
	_ = i.state.fillFromRecord(r) // an unreadable message counts as missing
	return nil
}

func (i *fileInspector) visitRecord(r seglog.Record, visit func(string, *Message) error) error {
	publisher, seq, err := recordIdentity(r.Payload)
	l := i.state.lifeOf(publisher)
	if r.Kind != kindMessage || err != nil || l == nil || !l.isKept(seq) || l.slots.at(seq).pos != uint64(r.Position) {
		return nil // not a kept message; of two copies the later one counts
	}
	return visitMessage(l, seq, r.Payload, visit)
}

// visitMessage calls visit with one kept message.
func visitMessage(l *lifeState, seq uint64, record []byte, visit func(string, *Message) error) error {
	var m Message
	if err := decodeRecord(record, &m, new(intern.Table)); err != nil {
		return fmt.Errorf("message %d of publisher %d: %w", seq, l.publisher, err)
	}
	m.Prev = l.prev(seq)
	return visit(l.id, &m)
}

// InspectBolt is InspectFile for a store in a bucket of a database, which may be opened
// read-only. Of the options it uses only BootID. The bucket of OpenBolt is "publish".
func InspectBolt(db *bbolt.DB, bucket string, o BoltOptions, visit func(life string, m *Message) error) (Inspection, error) {
	s := &Bolt{db: db, bucket: []byte(bucket), swept: make(map[uint64]uint64)}
	var found Inspection
	err := db.View(func(tx *bbolt.Tx) error {
		root := tx.Bucket(s.bucket)
		if root == nil || !isStore(root) {
			return ErrNotStore
		}
		err := s.state.decode(root.Get(stateKey))
		if versionErr := asVersionError(db.Path(), err); versionErr != nil {
			return versionErr
		}
		if err != nil {
			found.Damage = append(found.Damage, err)
			return nil
		}
		for _, l := range s.state.lives {
			if err := s.recoverLife(root, l); err != nil {
				found.Damage = append(found.Damage, err)
				s.inspectDamaged(root, l)
			}
			if err := visitLife(root, l, visit); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return found, fmt.Errorf("inspect publish store %s, bucket %s: %w", db.Path(), bucket, err)
	}
	s.state.fillInspection(o.BootID, &found)
	if db.IsReadOnly() { // otherwise a process has the store open, and has checked this when it opened it
		valid, err := boltfile.MetaPagesValid(db)
		found.Renews = found.Renews || !valid
		return found, err
	}
	return found, nil
}

// inspectDamaged finds the readable messages of a life that recoverLife refuses, and records the
// others as unreadable.
func (s *Bolt) inspectDamaged(root *bbolt.Bucket, l *lifeState) {
	b := root.Bucket(lifeKey(l.publisher))
	l.kept, l.bytes, l.last = 0, 0, highestGivenOut(b, l)
	if l.prepareSlots(salvageLimit(root)) != nil {
		l.last, l.slots = l.acked, slots{first: l.acked + 1} // without slots, nothing is known about its messages
		return
	}
	if b != nil {
		s.fill(b, l)
	}
	l.giveUpMissing()
}

// isStore reports whether a bucket belongs to a store: it has a state and the bucket of a life
// or, without such a bucket, a state that decodes.
func isStore(root *bbolt.Bucket) bool {
	var lives int
	root.ForEachBucket(func(key []byte) error {
		if len(key) == len(lifeKey(0)) {
			lives++
		}
		return nil
	})
	state := root.Get(stateKey)
	err := new(storeState).decode(state)
	return state != nil && (lives > 0 || err == nil || asVersionError("", err) != nil)
}

// visitLife calls visit, unless it is nil, with the kept messages of a life.
func visitLife(root *bbolt.Bucket, l *lifeState, visit func(string, *Message) error) error {
	b := root.Bucket(lifeKey(l.publisher))
	if visit == nil || b == nil {
		return nil
	}
	return b.ForEach(func(key, record []byte) error {
		_, seq, err := recordIdentity(record)
		if err != nil || !bytes.Equal(key, seqKey(seq)) || !l.isKept(seq) || l.slots.at(seq).pos == noPos {
			return nil
		}
		return visitMessage(l, seq, slices.Clone(record), visit)
	})
}
