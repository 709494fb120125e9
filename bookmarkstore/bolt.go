package bookmarkstore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/holdfast-mq/holdfast/internal/boltfile"
	"github.com/holdfast-mq/holdfast/internal/signal"
)

// ownBucket is the name of the bucket in a database that OpenBolt created.
const ownBucket = "bookmarks"

// BoltOptions configure the commits of a Bolt. The zero value is ready to use.
type BoltOptions struct {
	// CommitInterval is the longest time that a discard waits for the commit that makes it
	// durable. An open write transaction of the application delays it further. Default 10ms.
	CommitInterval time.Duration
	// CommitThreshold is the number of pending discards that starts a commit before CommitInterval
	// has passed. Default 1000.
	CommitThreshold int
	// SyncAlways makes Discard return only when the discard is durable. Concurrent Discards share
	// commits.
	SyncAlways bool
	// LockTimeout is how long OpenBolt waits for another process that has the database open.
	// Default: it does not wait.
	LockTimeout time.Duration
}

func (o *BoltOptions) validate() error {
	o.CommitInterval = cmp.Or(o.CommitInterval, 10*time.Millisecond)
	o.CommitThreshold = cmp.Or(o.CommitThreshold, 1000)
	if o.CommitInterval < 0 || o.CommitThreshold < 0 || o.LockTimeout < 0 {
		return errors.New("bookmark store: CommitInterval, CommitThreshold and LockTimeout must not be negative")
	}
	return nil
}

// A Bolt is a Store in a bbolt database, its own or the application's. A discard becomes durable
// at the next commit, after 10 ms by default, or with the application's own transaction
// (DiscardTx). A Bolt is safe for concurrent use.
//
// If a commit fails, the store stays failed for good: every later call returns that *FailedError.
type Bolt struct {
	db      *bbolt.DB
	path    string // a closed database no longer knows its path
	ownsDB  bool   // Close closes the database
	bucket  []byte
	options BoltOptions

	// changes counts the changes that have to become durable. A change is counted after it was
	// made, under the mu of its place. So a commit that first reads the count and then collects the
	// changes covers every counted one.
	changes        atomic.Uint64
	collected      atomic.Uint64 // number of changes covered by the last commit
	committerState atomic.Int32

	committer
	closing  sync.Once
	closeErr error // result of Close; set by closing

	storeBase

	// The fields below are guarded by the mu of the storeBase.
	durable   uint64        // number of durable changes
	committed chan struct{} // closed and replaced by each commit
	tx        *txDiscards   // discards in the last transaction that DiscardTx saw
}

// A committer holds the signals between a Bolt and its committing goroutine.
type committer struct {
	wake  signal.Signal // there is something to commit
	hurry signal.Signal // commit before the interval has passed
	stop  chan struct{} // closed by Close
	done  chan struct{} // closed when the goroutine has ended
}

// OpenBolt opens the store in the database file at path, and creates the file if needed. The
// error is ErrLocked if another process, or another store of this process, has the file open. It
// is a *DamagedError if the file is damaged, and a *VersionError if a later version of this
// package has written it. A file is compacted if it is larger than 16 MiB and more than four
// times as large as its data, as by pubstore.OpenBolt.
func OpenBolt(path string, o BoltOptions) (*Bolt, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	db, err := boltfile.OpenPrivate(path, boltfile.Options{
		Timeout: max(o.LockTimeout, 1), // 0 would wait for ever
		Buckets: []string{ownBucket},
	})
	if errors.Is(err, berrors.ErrTimeout) {
		err = ErrLocked
	}
	if err != nil {
		return nil, fmt.Errorf("bookmark store: open %s: %w", path, asDamagedError(path, err))
	}
	b, err := openBolt(db, ownBucket, o)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	b.ownsDB = true
	return b, nil
}

// OpenBoltIn opens the store in a bucket of the application's own database, and creates the
// bucket if needed. Close the store first and then the database. Only one store at a time may use
// a bucket. Do not call OpenBoltIn inside a write transaction.
//
// While the application has a write transaction open, the commits of the store wait. SetBase,
// Sync, SetGroup and Close wait with them, and so does Discard with SyncAlways. Inside a write
// transaction use DiscardTx.
//
// Open the database with NoFreelistSync and FreelistMapType: see pubstore.OpenBoltIn.
func OpenBoltIn(db *bbolt.DB, bucket string, o BoltOptions) (*Bolt, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if bucket == "" {
		return nil, errors.New("bookmark store: bucket name is empty")
	}
	return openBolt(db, bucket, o)
}

func openBolt(db *bbolt.DB, bucket string, o BoltOptions) (*Bolt, error) {
	b := &Bolt{
		db:        db,
		path:      db.Path(),
		bucket:    []byte(bucket),
		options:   o,
		committer: committer{wake: signal.New(), hurry: signal.New(), stop: make(chan struct{}), done: make(chan struct{})},
		storeBase: storeBase{places: make(map[string]*place)},
		committed: make(chan struct{}),
	}
	if err := b.guard(b.openBuckets); err != nil {
		return nil, fmt.Errorf("bookmark store: open %s: %w", b.path, err)
	}
	go b.commitLoop()
	return b, nil
}

// openBuckets creates the buckets, or checks the version of existing ones.
func (b *Bolt) openBuckets() error {
	if err := boltfile.MakeDurable(b.db); err != nil {
		return err
	}
	exists, err := b.checkFormat()
	if err != nil || exists {
		return err
	}
	return b.db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists(b.bucket)
		if err == nil {
			_, err = bucket.CreateBucketIfNotExists(keySubscriptions)
		}
		if err != nil {
			return err
		}
		return bucket.Put(keyFormat, []byte{formatVersion})
	})
}

func (b *Bolt) checkFormat() (exists bool, err error) {
	err = b.db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(b.bucket)
		if bucket == nil {
			return nil
		}
		format := bucket.Get(keyFormat)
		switch {
		case format == nil && bucket.Bucket(keySubscriptions) == nil:
			if key, _ := bucket.Cursor().First(); key != nil {
				return b.damagedError("", key, errKey) // another owner's bucket
			}
			return nil
		case format == nil:
			return b.damagedError("", keyFormat, errMissing)
		case bucket.Bucket(keySubscriptions) == nil:
			return b.damagedError("", keySubscriptions, errMissing)
		case len(format) != 1:
			return b.damagedError("", keyFormat, errLength)
		case format[0] != formatVersion:
			return b.damagedError("", keyFormat, versionError("it", format[0]))
		}
		exists = true
		b.loadGroup(bucket)
		return nil
	})
	return exists, err
}

// damagedError turns a decoding error into a *DamagedError or *VersionError that names bucket and
// key.
func (b *Bolt) damagedError(id string, key []byte, err error) error {
	name := string(b.bucket)
	if id != "" {
		name += "/" + id
	}
	if isVersionError(err) {
		return &VersionError{Path: b.path, Bucket: name, Err: err}
	}
	return &DamagedError{Path: b.path, Bucket: name, Key: slices.Clone(key), Err: err}
}

// guard turns a panic of bbolt into a *DamagedError.
func (b *Bolt) guard(do func() error) error {
	return asDamagedError(b.path, boltfile.Guard(b.path, do))
}

// update is db.Update in a guard.
func (b *Bolt) update(do func(*bbolt.Tx) error) error {
	return b.guard(func() error { return b.db.Update(do) })
}

// asDamagedError turns damage or a later version of the whole file into an error of this package.
func asDamagedError(path string, err error) error {
	if _, converted := errors.AsType[*VersionError](err); isVersionError(err) && !converted {
		return &VersionError{Path: path, Err: err}
	}
	if d, ok := errors.AsType[*boltfile.DamageError](err); ok {
		return &DamagedError{Path: d.Path, Err: d.Err}
	}
	return err
}

// OpenSubscription implements Store.
func (b *Bolt) OpenSubscription(id string, q Query) (Subscription, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	p, err := b.place(id, q)
	if err != nil {
		return nil, err
	}
	return p.acquire(q)
}

// place returns the place of id. The first call reads it from the database.
func (b *Bolt) place(id string, q Query) (*place, error) {
	if p, err := b.findOrAdd(id, nil); p != nil || err != nil {
		return p, err
	}
	// A concurrent call may read the same place. The first one to add it wins. Nothing is written
	// for the place before it has been added.
	p, err := b.readPlace(id, q)
	if err != nil {
		return nil, err
	}
	return b.findOrAdd(id, p)
}

// readPlace makes a place from the database.
func (b *Bolt) readPlace(id string, q Query) (*place, error) {
	p := &place{id: id, b: b, query: q, generation: 1}
	err := b.guard(func() error {
		return b.db.View(func(tx *bbolt.Tx) error {
			bucket, err := b.subscriptions(tx)
			if err != nil {
				return err
			}
			if bucket = bucket.Bucket([]byte(id)); bucket == nil {
				return nil
			}
			h, key, err := loadWindow(bucket, id, &p.w)
			if err != nil {
				return b.damagedError(id, key, err)
			}
			p.query, p.generation = h.query, h.generation
			p.storedGeneration, p.storedHasBase = h.generation, h.hasBase
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("bookmark store: read subscription %q: %w", id, err)
	}
	return p, nil
}

func (b *Bolt) subscriptions(tx *bbolt.Tx) (*bbolt.Bucket, error) {
	bucket := tx.Bucket(b.bucket)
	if bucket != nil {
		bucket = bucket.Bucket(keySubscriptions)
	}
	if bucket == nil {
		return nil, b.damagedError("", keySubscriptions, errMissing)
	}
	return bucket, nil
}

// Close implements Store. Subscriptions need not be released first. In a shared database Close
// waits for an open write transaction of the application. A second call returns the result of the
// first.
func (b *Bolt) Close() error {
	b.closing.Do(func() { b.closeErr = b.closeOnce() })
	return b.closeErr
}

func (b *Bolt) closeOnce() error {
	b.closePlaces()
	// The last commit covers every change that the places took before.
	close(b.stop)
	<-b.done

	b.mu.Lock()
	err := b.failed
	b.mu.Unlock()
	if b.ownsDB {
		if closeErr := b.db.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("bookmark store: close %s: %w", b.path, closeErr)
		}
	}
	return err
}
