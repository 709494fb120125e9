package journal

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// An Advance reports that the appended or the durable numbers of Publisher have risen to
// Sequence.
type Advance struct{ Publisher, Sequence uint64 }

// A PublisherState is the journal's knowledge of one publisher.
type PublisherState struct {
	Publisher  uint64
	Check      bookmark.Check // zero: not known
	Owner      string         // the user who owns it: that of its first record with a user; empty: nobody yet
	Have       uint64         // highest sequence in the journal, durable or not
	Durable    uint64         // highest sequence covered by an fsync of this process
	Floor      uint64         // highest removed sequence: removed here, or elsewhere if the marker directly follows
	RunningCRC uint32         // over the messages of carried topics up to Have (R11); 0: not known, or none

	Removed    uint64 // highest sequence that retention has removed: Floor, or below it
	RemovedCRC uint32 // running CRC at Removed; 0: not known
	Diverged   uint64 // first sequence not proven equal on all instances (R11); 0: not diverged
	Closing    bool   // all its messages are removed and it was not seen for twice retain: it may be forgotten (R10)
	ClosedUpTo uint64 // no instance has anything of it up to this sequence
	Leaving    bool   // it has been closed at Have for as long as retain
}

// A PublisherRange is the sequences from From to To of a publisher, both included.
type PublisherRange struct {
	Publisher uint64
	From      uint64
	To        uint64
}

// A Journal is the transaction log of one instance. It has one goroutine, the syncer. All
// methods are safe for concurrent use.
type Journal struct {
	o    Options
	log  *seglog.Log
	done chan struct{} // closed when the syncer has ended
	trimState
	later    laterCalls                      // lines of the log
	diverged atomic.Pointer[bookmark.Vector] // the durable diverged publishers; nil: none; only replaced, never changed

	mu     sync.Mutex
	work   sync.Cond // the syncer waits here for records to sync, or for the end
	synced sync.Cond // callers wait here until durable or syncEnd moves, or the journal fails or closes
	table  *table
	dirty  []*publisher // publishers whose have is above durable
	batch  syncBatch    // the newest batch of the syncer
	// Positions. Invariant: durable <= syncEnd <= end. The syncer is making the records below
	// syncEnd durable. The records below durable were written before an fsync that succeeded
	// began.
	durable, syncEnd, end Position
	summaries             map[Position]summary // of sealed segments, by first position
	trimmed               Position             // after the last record that Trim has removed
	scratch               []byte               // buffer of Append: time, header, content up to the body
	stopState
	repairState
}

// stopState says whether and why the journal accepts no more records.
type stopState struct {
	closed, killed bool
	err            error // of the disk; final
}

// trimState is the state of Trim.
type trimState struct {
	trimmer  chan struct{} // Trim holds its token for the whole call, including waits for the disk
	ageClock ageClock
}

// repairState is the state of a repair after damage. Journal.mu guards it.
type repairState struct {
	damage   *seglog.DamageError // nil: no damage, or the merge is finished
	asideLog *asideLog           // nil: no record is set aside
	hasAside atomic.Bool         // asideLog is not nil; read without mu
}

// Open opens or creates the journal in o.Dir and starts the syncer. When it returns, an fsync
// of this process has made every record of the journal durable. Unless o.SetAside is set, the
// error is a *seglog.DamageError in two cases: a durable record is damaged, or an earlier
// Open with SetAside has set records aside that are not merged yet.
func Open(o Options) (*Journal, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	j, err := open(o)
	if errors.Is(err, syscall.ENOSPC) && seglog.DropReserve(o.FS, o.Dir) {
		o.Log.Error("the disk is full: the journal is opened in the space of its reserve file", "dir", o.Dir)
		j, err = open(o)
	}
	return j, err
}

func open(o Options) (*Journal, error) {
	for {
		j, err := openLog(o)
		if err != nil {
			return nil, fmt.Errorf("journal: open: %w", err)
		}
		err = j.loadContentSums()
		if _, damaged := errors.AsType[*seglog.DamageError](err); damaged {
			// The log has noted the damaged place and checks it when it is opened again.
			if err := j.log.Abandon(); err != nil {
				return nil, fmt.Errorf("journal: open: %w", err)
			}
			continue
		}
		j.loadRemoved(j.log.First())
		j.countOlder(j.log.First())
		if err == nil {
			err = j.openAside()
		}
		j.later.do()
		if err != nil {
			return nil, fmt.Errorf("journal: open: %w", errors.Join(err, j.log.Abandon()))
		}
		if o.Stepped {
			close(j.done)
			return j, nil
		}
		go j.sync()
		return j, nil
	}
}

// openLog opens the log and rebuilds the table.
func openLog(o Options) (*Journal, error) {
	t := newTable(o.Carried)
	t.extents = newRecentExtents(o.SegmentBytes)
	log, err := seglog.Open(seglog.Options{
		FS:           o.FS,
		Dir:          o.Dir,
		Owner:        t,
		SegmentBytes: o.SegmentBytes,
		MaxRecord:    timeLen + MaxRecord,
		SetAside:     o.SetAside,
		CheckHead:    checkHead,
	})
	if err != nil {
		return nil, err
	}
	j := &Journal{o: o, log: log, table: t, done: make(chan struct{}), summaries: make(map[Position]summary)}
	j.work.L, j.synced.L = &j.mu, &j.mu
	j.ageClock, j.trimmer = newAgeClock(&j.o, t), make(chan struct{}, 1)
	t.notedAge, t.ageNow = t.age, j.ageClock.age
	j.batch.segment = t.segment
	j.end = log.End()
	j.durable, j.syncEnd = j.end, j.end
	for _, p := range t.sorted() {
		p.durable = p.have
	}
	j.publishDiverged()
	return j, nil
}

// State returns the state of a publisher. known is false if the journal does not know it.
func (j *Journal) State(publisher uint64) (s PublisherState, known bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.table.byID[publisher]
	if p == nil {
		return PublisherState{}, false
	}
	return j.table.state(p), true
}

// States returns the states of all publishers, ordered by id.
func (j *Journal) States() []PublisherState { return j.StatesFrom(0, math.MaxInt) }

// StatesFrom returns the states of at most limit publishers whose id is at least from,
// ordered by id.
func (j *Journal) StatesFrom(from uint64, limit int) []PublisherState {
	j.mu.Lock()
	defer j.mu.Unlock()
	at, _ := j.table.find(from)
	all := j.table.sorted()[at:]
	states := make([]PublisherState, min(limit, len(all)))
	for i := range states {
		states[i] = j.table.state(all[i])
	}
	return states
}

// Publishers returns the number of publishers that the journal knows.
func (j *Journal) Publishers() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.table.all)
}

// Tombstones returns the rejected messages of a publisher above a sequence, in order. It
// returns at most the newest 1,024.
func (j *Journal) Tombstones(publisher, above uint64) []Refusal {
	j.mu.Lock()
	defer j.mu.Unlock()
	ts := j.table.lookup(publisher).newestTombstones()
	at, _ := slices.BinarySearchFunc(ts, above+1, bySequenceOf)
	return slices.Clone(ts[at:])
}

// Touch records that a publisher is in use now, so that it is not forgotten.
func (j *Journal) Touch(publisher uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if p := j.table.byID[publisher]; p != nil {
		p.seen = j.table.groupClock.Now
	}
}

// First returns the position of the oldest record.
func (j *Journal) First() Position { return j.resolveZero(j.log.First()) }

// End returns the position after the newest record.
func (j *Journal) End() Position { return readLocked(&j.mu, &j.end) }

// DurableEnd returns the position after the newest durable record.
func (j *Journal) DurableEnd() Position { return readLocked(&j.mu, &j.durable) }

// readLocked returns a value that mu guards.
func readLocked[T any](mu *sync.Mutex, value *T) T {
	mu.Lock()
	defer mu.Unlock()
	return *value
}

// DurableVector returns the durable end and a vector that covers every record before it. The
// vector covers only messages that were durable when the call returned. A subscription that
// starts at NOW has it as its base (R9).
func (j *Journal) DurableVector() (Position, bookmark.Vector) {
	return j.DurableEnd(), j.vector(j.Publishers(), func(p *publisher) uint64 { return p.durable })
}

// Floors returns the floor of every publisher that has one. A subscription that starts at
// EPOCH has them as its base (R9).
func (j *Journal) Floors() bookmark.Vector {
	return j.vector(0, func(p *publisher) uint64 { return p.floor })
}

// vector returns sequence(p) for each publisher, without zeros. size is the expected number
// of entries.
func (j *Journal) vector(size int, sequence func(*publisher) uint64) bookmark.Vector {
	v := make(bookmark.Vector, size)
	j.eachPublisher(func(p *publisher) {
		if n := sequence(p); n > 0 {
			v[p.id] = n
		}
	})
	return v
}

// publishersPerLock is the number of publishers that are visited with mu held, while appends
// wait.
const publishersPerLock = 1024

// eachPublisher calls f for each publisher, ordered by id, with mu held. It releases mu now
// and then, so that an append does not wait for the whole table.
func (j *Journal) eachPublisher(f func(*publisher)) {
	for next, more := uint64(0), true; more; {
		j.mu.Lock()
		from, _ := j.table.find(next)
		part := j.table.sorted()[from:]
		if more = len(part) > publishersPerLock; more {
			next, part = part[publishersPerLock].id, part[:publishersPerLock]
		}
		for _, p := range part {
			f(p)
		}
		j.mu.Unlock()
	}
}

// Recovered returns what Open has found on the disk.
func (j *Journal) Recovered() seglog.Recovered { return j.log.Recovered() }

// Size returns the size on disk in bytes.
func (j *Journal) Size() int64 { return j.log.Size() }

// Space returns the free and the total bytes of the journal's disk.
func (j *Journal) Space() (free, total int64, err error) {
	free, total, err = j.o.FS.Space(j.o.Dir)
	return free, total, annotate(err, "free space")
}

// Unused returns the bytes that the newest file has reserved for further records. Space does not
// count them as free.
func (j *Journal) Unused() int64 { return j.log.Unused() }

// Err returns the reason why the journal has failed, or nil.
func (j *Journal) Err() error { return readLocked(&j.mu, &j.err) }

// Close syncs, stops the syncer and releases the directory.
func (j *Journal) Close() error {
	if j.o.Stepped {
		_ = j.syncAll() // Err keeps the error
	}
	if !j.stopSyncer(false) {
		return ErrClosed
	}
	failed := j.Err()
	if err := errors.Join(j.closeAside(), j.log.Close()); err != nil && failed == nil {
		return fmt.Errorf("journal: close: %w", err)
	}
	return failed
}

// Kill releases the directory as if the process had died: nothing more is written.
func (j *Journal) Kill() error {
	if !j.stopSyncer(true) {
		return ErrClosed
	}
	return annotate(errors.Join(j.closeAside(), j.log.Abandon()), "kill")
}

// annotate adds the failed operation to an error. It returns nil if err is nil.
func annotate(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("journal: %s: %w", fmt.Sprintf(format, args...), err)
}
