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

// BoltOptions say how a Bolt store behaves. Zero values mean the defaults.
type BoltOptions struct {
	MaxMessages int   // bound on what is outstanding; default 4,194,304
	MaxBytes    int64 // the same in bytes (Message.Size); default 1 GiB
	// FailWhenFull has Append return ErrFull at the bound instead of waiting. AppendTx always does.
	FailWhenFull bool
	MaxMessage   int // largest message in bytes; default 16 MiB, and never more than MaxBytes
	// CommitInterval is how long what is let go waits for a commit of its
	// own; an Append never waits for it. Default 10ms.
	CommitInterval time.Duration
	// AcceptDamage opens a store that is refused with a *DamagedError because
	// of what stands in its bucket: the messages that can't be read any more are
	// given up, all others are kept, and a new life begins. Do so while the pair
	// is in sync, see FileOptions.AcceptDamage. A file that is no database any
	// more it can't open: holdfast store repair makes one of it.
	AcceptDamage bool
	// BootID names the current run of the machine, see R10. Default: the system's.
	BootID func() (string, error)
}

const (
	defaultStoreMessages = 4 << 20 // their slots take 64 MiB
	defaultStoreBytes    = 1 << 30

	// ownBucket is the bucket in a database that OpenBolt made.
	ownBucket = "publish"

	// lockTimeout is how long OpenBolt tries to lock the database: long
	// enough for a process that is just ending.
	lockTimeout = 250 * time.Millisecond
)

// Bolt is a Store in a bbolt database: one of its own (OpenBolt), or one that
// the application shares (OpenBoltIn), so that a message is published if and
// only if the application's own transaction commits (AppendTx).
//
// Each Append returns after its commit, which it shares with those that wait
// at the same time. So it must not be called within a transaction on
// the same database: AppendTx is for that.
type Bolt struct {
	desk
	changer
	committer
	db     *bbolt.DB
	own    bool // the database is closed with the store
	bucket []byte

	acceptDamage bool
	doubtful     bool // its last commit may be missing
	salvaged     bool // something was not as it was written, and is now
	givenUp      int  // messages that opening a damaged store gave up

	// These are guarded by mu.
	queue   []*boltOp
	dirty   bool              // the state is not as in the database
	swept   map[uint64]uint64 // by publisher with a bucket: deleted through
	gone    []boltKey         // rejected, to be deleted
	pending []*txAppends      // oldest first
}

var _ Store = (*Bolt)(nil)

// A boltKey is one message in the database.
type boltKey struct {
	life uint64
	seq  uint64
}

// OpenBolt opens the store in a database of its own, making it if there is none.
// A *DamagedError or *VersionError is as OpenFile's.
// A file that is larger than 16 MiB and four times the data in it, as a backlog
// leaves it, is compacted: the copy takes up to a quarter of its size beside it
// meanwhile, and if there is no room for that the file stays as it is.
func OpenBolt(path string, o BoltOptions) (*Bolt, error) {
	if path == "" {
		return nil, errors.New("publish store: OpenBolt needs a file")
	}
	if err := o.check(); err != nil {
		return nil, err // before there is a file
	}
	db, err := boltfile.OpenOwn(path, boltfile.Options{Timeout: lockTimeout, Buckets: []string{ownBucket}})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open %s: %w", path, ErrLocked)
	}
	if newer := asNewer(path, err); newer != nil {
		return nil, newer
	}
	if err != nil {
		return nil, fmt.Errorf("open publish store %s: %w", path, asDamaged(err))
	}
	s, err := openBoltIn(db, ownBucket, o, true)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// OpenBoltIn opens the store in a bucket of the application's database, making
// it if there is none. The application must close the store before the
// database, and open one store per bucket only. Whatever of the database was
// found committed, its name included, is durable when OpenBoltIn returns; it
// waits for a write transaction that is open. (bbolt makes a new file in steps: a
// power cut between them leaves one that doesn't open, with nothing in it.)
//
// Open the database with NoFreelistSync and FreelistMapType. By default bbolt
// writes the list of all free pages with every commit, and they are as many as
// the largest backlog ever has left: 2 MiB a commit after one of 1 GiB. Without
// that list bbolt reads all pages in use when it opens the file. The file does
// not shrink by itself: holdfast store inspect shows how much of it is in use,
// bbolt.Compact makes a smaller copy.
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
		db:        db, own: own, bucket: []byte(bucket), acceptDamage: o.AcceptDamage, swept: make(map[uint64]uint64),
	}
	s.changer = newChanger(s.commitChange, nil)
	s.set(limits{
		messages: o.MaxMessages, defaultMessages: defaultStoreMessages,
		bytes: o.MaxBytes, defaultBytes: defaultStoreBytes,
		message: o.MaxMessage, failWhenFull: o.FailWhenFull,
	})
	boot := currentBoot(o.BootID)
	err := asDamaged(boltfile.Guard(db.Path(), s.settle))
	if err == nil {
		err = s.update(func(tx *bbolt.Tx) error { return s.recover(tx, boot) })
	}
	if err != nil {
		return nil, fmt.Errorf("open publish store %s: %w", db.Path(), err)
	}
	if own {
		s.disk.look = s.space
		s.disk.see()
	}
	go s.run()
	return s, nil
}

// space returns the bytes that messages may still take. What is kept is for those
// that let go: a commit writes new pages before it frees others. Pages of the file
// that are free don't count, since a message needs some that stand side by side.
func (s *Bolt) space() (int64, error) {
	free, _, err := seglog.OS.Space(filepath.Dir(s.db.Path()))
	return free - diskSpare, err
}

// settle makes durable what the database was found as, and finds out whether
// that may be what it was one commit earlier.
func (s *Bolt) settle() error {
	whole, err := boltfile.Whole(s.db)
	s.doubtful = !whole
	if err != nil {
		return err
	}
	return boltfile.Settle(s.db)
}

// GivenUp returns how many messages were given up when the store was opened
// with AcceptDamage.
func (s *Bolt) GivenUp() int { return s.givenUp }

// update and view are those of the database, whose panics are a *DamagedError:
// bbolt trusts its pages.
func (s *Bolt) update(do func(*bbolt.Tx) error) error {
	return asDamaged(boltfile.Guard(s.db.Path(), func() error { return s.db.Update(do) }))
}

func (s *Bolt) view(do func(*bbolt.Tx) error) error {
	return asDamaged(boltfile.Guard(s.db.Path(), func() error { return s.db.View(do) }))
}

func asDamaged(err error) error {
	if d, ok := errors.AsType[*boltfile.DamageError](err); ok {
		return &DamagedError{d.Path, d.Err}
	}
	return err
}

// check returns what is wrong with the options.
func (o *BoltOptions) check() error {
	return cmp.Or(checkLimits(o.MaxMessages, o.MaxBytes, o.MaxMessage), notNegative("CommitInterval", o.CommitInterval))
}

// A boltOp waits for its commit: a message to append, or a change of the state.
type boltOp struct {
	m      *Message
	change func(*ledger) error
	done   chan error // capacity 1
}

// Append implements Store.
func (s *Bolt) Append(ctx context.Context, m *Message) (uint64, error) {
	if err := s.admit(ctx, m); err != nil {
		return 0, err
	}
	m.Time = time.Now()
	s.ledger.held++
	s.ledger.heldBytes += int64(m.Size())
	s.disk.take(m.Size())
	err := s.commitLocked(&boltOp{m: m})
	if err != nil {
		return 0, err
	}
	s.signal()
	return m.Sequence, nil
}

// commitLocked queues an op, gives up mu, and waits for the op's commit. The
// wait is not cancelled: the op is as good as in the store.
func (s *Bolt) commitLocked(op *boltOp) error {
	op.done = make(chan error, 1)
	s.queue = append(s.queue, op)
	s.mu.Unlock()
	s.urgent.Set()
	return <-op.done
}

// commitChange has the committer change the state, and returns once that is committed.
func (s *Bolt) commitChange(f func(*ledger) error) error {
	s.mu.Lock()
	if s.ended != nil {
		defer s.mu.Unlock()
		return s.ended
	}
	return s.commitLocked(&boltOp{change: f})
}

// Discard implements Store. It is committed a little later; after a kill in
// between the messages are there again, and let go again.
func (s *Bolt) Discard(life string, through uint64) error {
	return s.useLife(life, func(w *window) {
		if s.ledger.discard(w, through) {
			s.letGoLocked()
		}
	})
}

// Reject implements Store. It is committed a little later, like Discard: it is
// called by the client's session, which must not wait for a transaction of the application.
func (s *Bolt) Reject(life string, sequence uint64) error {
	return s.useLife(life, func(w *window) {
		if s.ledger.reject(w, sequence) {
			s.gone = append(s.gone, boltKey{w.publisher, sequence})
			s.letGoLocked()
		}
	})
}

func (s *Bolt) letGoLocked() {
	s.line.wake()
	s.dirty = true
	s.lazy.Set()
}

// Get implements Store.
func (s *Bolt) Get(life string, sequence uint64) (*Message, error) {
	c, err := s.cursor(life, sequence-1, 1)
	return only(c, err, sequence)
}

// fail puts the store out of use for good and returns why.
func (s *Bolt) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failLocked(err)
}

func (s *Bolt) failLocked(err error) error {
	s.endLocked(&FailedError{Path: s.db.Path(), Err: err})
	s.signal() // so that the client looks, and learns of it
	return s.ended
}

// Close implements Store. It waits for a transaction that the application has open.
func (s *Bolt) Close() error {
	return s.close(&s.committer, func(err error) error {
		if err == nil {
			err = s.finish()
		}
		if s.own {
			err = errors.Join(err, s.db.Close())
		}
		return err
	})
}
