package pubstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/holdfast-mq/holdfast/internal/boltfile"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// BoltOptions configure a Bolt store. Zero values mean the defaults.
type BoltOptions struct {
	MaxMessages int   // bound on the messages in the store; default 4,194,304
	MaxBytes    int64 // bound on their size in bytes (Message.Size); default 1 GiB
	// FailWhenFull makes Append return ErrFull at the bound instead of waiting. AppendTx always
	// does.
	FailWhenFull bool
	MaxMessage   int // largest message in bytes; default 16 MiB, at most MaxBytes
	// CommitInterval is the longest time until a Discard or Reject is committed. Append does not
	// wait for it. Default 10ms.
	CommitInterval time.Duration
	// AcceptDamage opens a store that is refused with a *DamagedError because of damage inside
	// its bucket. Unreadable messages are given up, all others are kept, and a new life begins.
	// Use it while the pair is in sync: see FileOptions.AcceptDamage. It cannot open a file that
	// is no longer a bbolt database: "holdfast store repair" turns such a file into a database.
	AcceptDamage bool
	// BootID returns an id of the current boot of the machine. If the store was not closed and this
	// id has changed or is unavailable, the newest messages may be missing. Opening then begins a
	// new life, so that no number is used twice. Default: the system's.
	BootID func() (string, error)
}

const (
	defaultStoreMessages = 4 << 20 // their slots take 64 MiB of memory
	defaultStoreBytes    = 1 << 30

	// ownBucket is the name of the bucket in a database that OpenBolt created.
	ownBucket = "publish"

	// lockTimeout is how long OpenBolt tries to lock the database: long enough for a process that
	// is about to end.
	lockTimeout = 250 * time.Millisecond
)

// Bolt is a Store in a bbolt database. The database is the store's own (OpenBolt) or shared with
// the application (OpenBoltIn). In a shared one, AppendTx publishes a message if and only if the
// application's transaction commits.
//
// Append returns after its commit, which it shares with concurrent calls. Do not call Append inside
// a transaction on the same database: it would wait for ever. Use AppendTx there.
type Bolt struct {
	storeBase
	stateChanger
	committer
	db     *bbolt.DB
	ownsDB bool // opened by OpenBolt, so that Close closes the database
	bucket []byte

	acceptDamage  bool
	mayLackCommit bool // the database may lack its last commit
	salvaged      bool // opening has repaired the store
	givenUp       int  // number of messages given up at opening

	// These are guarded by mu.
	queue        []*boltOp
	dirty        bool              // the state differs from the one in the database
	swept        map[uint64]uint64 // by publisher that has a bucket: highest sequence deleted from it
	rejectedKeys []boltKey         // rejected messages that are still to be deleted
	pending      []*txAppends      // oldest first
}

var _ Store = (*Bolt)(nil)

// A boltKey is the key of one message in the database.
type boltKey struct {
	life uint64
	seq  uint64
}

// OpenBolt opens the store in the database file path and creates it if needed. It returns
// ErrLocked, a *DamagedError and a *VersionError in the same cases as OpenFile. A file is compacted
// if it is larger than 16 MiB and more than four times as large as its data, as after a backlog.
// The copy temporarily takes up to a quarter of the file's size. If there is no room for it, the
// file stays as it is.
func OpenBolt(path string, o BoltOptions) (*Bolt, error) {
	if path == "" {
		return nil, errors.New("publish store: OpenBolt needs a file")
	}
	if err := o.check(); err != nil {
		return nil, err // before a file is created
	}
	db, err := boltfile.OpenPrivate(path, boltfile.Options{Timeout: lockTimeout, Buckets: []string{ownBucket}})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open %s: %w", path, ErrLocked)
	}
	if versionErr := asVersionError(path, err); versionErr != nil {
		return nil, versionErr
	}
	if err != nil {
		return nil, fmt.Errorf("open publish store %s: %w", path, asDamagedError(err))
	}
	s, err := openBoltIn(db, ownBucket, o, true)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// OpenBoltIn opens the store in a bucket of the application's database and creates the bucket if
// needed. Close the store before the database, and open only one store per bucket. OpenBoltIn
// waits for an open write transaction. When it returns, everything that was committed before is
// durable, including the name of the file. (bbolt creates a new file in several steps. A power
// cut between them leaves a file without data that does not open.)
//
// Open the database with NoFreelistSync and FreelistMapType. By default bbolt writes the list of
// all free pages with every commit. That list grows with the largest backlog so far: 2 MiB per
// commit after a backlog of 1 GiB. Without it bbolt reads all used pages when it opens the file.
// The file does not shrink by itself: "holdfast store inspect" shows how much of it is in use,
// and bbolt.Compact makes a smaller copy.
func OpenBoltIn(db *bbolt.DB, bucket string, o BoltOptions) (*Bolt, error) {
	return openBoltIn(db, bucket, o, false)
}

func openBoltIn(db *bbolt.DB, bucket string, o BoltOptions, own bool) (*Bolt, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if bucket == "" {
		return nil, errors.New("publish store: bucket name is empty")
	}
	s := &Bolt{
		committer: newCommitter(o.CommitInterval),
		db:        db, ownsDB: own, bucket: []byte(bucket), acceptDamage: o.AcceptDamage, swept: make(map[uint64]uint64),
	}
	s.stateChanger = newStateChanger(s.commitChange, nil)
	s.applyLimits(limits{
		messages: o.MaxMessages, defaultMessages: defaultStoreMessages,
		bytes: o.MaxBytes, defaultBytes: defaultStoreBytes,
		message: o.MaxMessage, failWhenFull: o.FailWhenFull,
	})
	boot := currentBoot(o.BootID)
	err := asDamagedError(boltfile.Guard(db.Path(), s.makeDurable))
	if err == nil {
		err = s.update(func(tx *bbolt.Tx) error { return s.recover(tx, boot) })
	}
	if err != nil {
		return nil, fmt.Errorf("open publish store %s: %w", db.Path(), err)
	}
	if own {
		s.disk.measure = s.measureSpace
		s.disk.refresh()
	}
	go s.commitLoop()
	return s, nil
}

// measureSpace returns the number of bytes that messages may still take. diskSpare is reserved for
// commits that delete: a commit writes new pages before it frees old ones. Free pages in the file
// do not count, since a message needs several adjacent ones.
func (s *Bolt) measureSpace() (int64, error) {
	free, _, err := seglog.OS.Space(filepath.Dir(s.db.Path()))
	return free - diskSpare, err
}

// makeDurable makes the database durable as it was found, and checks whether it may lack its last
// commit.
func (s *Bolt) makeDurable() error {
	whole, err := boltfile.MetaPagesValid(s.db)
	s.mayLackCommit = !whole
	if err != nil {
		return err
	}
	return boltfile.MakeDurable(s.db)
}

// GivenUp returns the number of messages that were given up when the store was opened with
// AcceptDamage.
func (s *Bolt) GivenUp() int { return s.givenUp }

// update and view wrap the methods of the database and turn a panic into a *DamagedError: bbolt
// does not check its pages, and panics on damaged ones.
func (s *Bolt) update(do func(*bbolt.Tx) error) error {
	return asDamagedError(boltfile.Guard(s.db.Path(), func() error { return s.db.Update(do) }))
}

func (s *Bolt) view(do func(*bbolt.Tx) error) error {
	return asDamagedError(boltfile.Guard(s.db.Path(), func() error { return s.db.View(do) }))
}

func asDamagedError(err error) error {
	if d, ok := errors.AsType[*boltfile.DamageError](err); ok {
		return &DamagedError{d.Path, d.Err}
	}
	return err
}

// check returns an error that names the first invalid option.
func (o *BoltOptions) check() error {
	return cmp.Or(checkLimits(o.MaxMessages, o.MaxBytes, o.MaxMessage), checkNotNegative("CommitInterval", o.CommitInterval))
}

// A boltOp waits for its commit. It is either a message to append or a change of the state.
type boltOp struct {
	m      *Message
	change func(*storeState) error
	done   chan error // capacity 1
}

// Append implements Store.
func (s *Bolt) Append(ctx context.Context, m *Message) (uint64, error) {
	if err := s.admit(ctx, m); err != nil {
		return 0, err
	}
	m.Time = time.Now()
	s.state.reserved++
	s.state.reservedBytes += int64(m.Size())
	s.disk.subtract(m.Size())
	err := s.submitLocked(&boltOp{m: m})
	if err != nil {
		return 0, err
	}
	s.signalAppended()
	return m.Sequence, nil
}

// submitLocked queues an op, unlocks mu, and waits for the commit. The wait cannot be cancelled,
// since a queued op may be committed at any moment.
func (s *Bolt) submitLocked(op *boltOp) error {
	op.done = make(chan error, 1)
	s.queue = append(s.queue, op)
	s.mu.Unlock()
	s.urgent.Set()
	return <-op.done
}

// commitChange changes the state in the committer and returns once the change is committed.
func (s *Bolt) commitChange(f func(*storeState) error) error {
	s.mu.Lock()
	if s.endErr != nil {
		defer s.mu.Unlock()
		return s.endErr
	}
	return s.submitLocked(&boltOp{change: f})
}

// Discard implements Store. The discard is committed a little later. After a crash in between, the
// store still has the messages, and the client discards them again.
func (s *Bolt) Discard(life string, through uint64) error {
	return s.withLife(life, func(l *lifeState) {
		if s.state.discard(l, through) {
			s.scheduleDeletesLocked()
		}
	})
}

// Reject implements Store. The rejection is committed a little later, like a discard: the client's
// session calls Reject, and must not wait for a transaction of the application.
func (s *Bolt) Reject(life string, sequence uint64) error {
	return s.withLife(life, func(l *lifeState) {
		if s.state.reject(l, sequence) {
			s.rejectedKeys = append(s.rejectedKeys, boltKey{l.publisher, sequence})
			s.scheduleDeletesLocked()
		}
	})
}

func (s *Bolt) scheduleDeletesLocked() {
	s.waiting.wakeFirst()
	s.dirty = true
	s.lazy.Set()
}

// Get implements Store.
func (s *Bolt) Get(life string, sequence uint64) (*Message, error) {
	c, err := s.cursor(life, sequence-1, 1)
	return readOne(c, err, sequence)
}

// fail puts the store into the failed state for good and returns the error for later calls.
func (s *Bolt) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failLocked(err)
}

func (s *Bolt) failLocked(err error) error {
	s.endLocked(&FailedError{Path: s.db.Path(), Err: err})
	s.signalAppended() // so that the client reads its cursor and sees the error
	return s.endErr
}

// Close implements Store. It waits for open transactions of the application. It closes the database
// if OpenBolt has opened it.
func (s *Bolt) Close() error {
	return s.close(&s.committer, func(err error) error {
		if err == nil {
			err = s.commitClosed()
		}
		if s.ownsDB {
			err = errors.Join(err, s.db.Close())
		}
		return err
	})
}
