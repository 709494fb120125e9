package bookmarkstore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/holdfast-mq/holdfast/internal/boltfile"
	"github.com/holdfast-mq/holdfast/internal/signal"
)

// ownBucket is the bucket in a database that OpenBolt made.
const ownBucket = "bookmarks"

// BoltOptions are how a Bolt commits. The zero value is ready to use.
type BoltOptions struct {
	// CommitInterval is how long a discard waits at most for the commit that
	// makes it durable, unless an application's own transaction is in the
	// way. Default 10ms.
	CommitInterval time.Duration
	// CommitOperations is how many discards are committed without waiting
	// for the interval to pass. Default 1000.
	CommitOperations int
	// SyncAlways has Discard return once the discard is durable. Many
	// goroutines that discard share commits.
	SyncAlways bool
	// LockTimeout is how long OpenBolt waits for another process that has the
	// database open. Default: not at all.
	LockTimeout time.Duration
}

func (o *BoltOptions) validate() error {
	o.CommitInterval = cmp.Or(o.CommitInterval, 10*time.Millisecond)
	o.CommitOperations = cmp.Or(o.CommitOperations, 1000)
	if o.CommitInterval < 0 || o.CommitOperations < 0 || o.LockTimeout < 0 {
		return errors.New("bookmark store: CommitInterval, CommitOperations and LockTimeout must not be negative")
	}
	return nil
}

// A Bolt is a Store in a bbolt database, its own or the application's. What
// was discarded is durable after the next commit, ten milliseconds later
// unless asked otherwise, or with the application's own transaction
// (DiscardTx). Safe for concurrent use.
//
// If a commit fails the store is in a failed state for good: every later
// call returns that *FailedError (R7).
type Bolt struct {
	db      *bbolt.DB
	path    string // kept, since a closed database no longer tells it
	own     bool   // Close closes the database
	bucket  []byte
	options BoltOptions

	// changes counts what has to become durable. Each is counted under the
	// mu of its place, after it was made there: a commit that reads the
	// count first and collects then covers all it counted.
	changes   atomic.Uint64
	collected atomic.Uint64 // as many of them as the last commit covers
	pace      atomic.Int32

	committer

	registry

	// These are guarded by the mu of the registry.
	durable   uint64        // changes that are durable
	committed chan struct{} // closed and replaced by each commit
	tx        *txDiscards   // of the last transaction DiscardTx saw
}

// A committer is what its goroutine is told, and tells.
type committer struct {
	wake signal.Signal // there is something to commit
	now  signal.Signal // do not wait for the interval
	stop chan struct{} // closed by Close
	done chan struct{} // closed when the goroutine has ended
}

// OpenBolt opens the store in the database file at path, making it if it is
// new. ErrLocked: another process, or another store of this one, has it open. A
// *VersionError: a later version of this package has written it.
// A file that is larger than 16 MiB and four times the data in it is compacted,
// as by pubstore.OpenBolt.
func OpenBolt(path string, o BoltOptions) (*Bolt, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	db, err := boltfile.OpenOwn(path, boltfile.Options{
		Timeout: max(o.LockTimeout, 1), // 0 would be for ever
		Buckets: []string{ownBucket},
	})
	if errors.Is(err, berrors.ErrTimeout) {
		err = ErrLocked
	}
	if err != nil {
		return nil, fmt.Errorf("bookmark store: open %s: %w", path, asDamaged(path, err))
	}
	b, err := openBolt(db, ownBucket, o)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	b.own = true
	return b, nil
}

// OpenBoltIn opens the store in a bucket of the application's own database,
// making it if it is new. The application closes the database, after the
// store. One store at a time may use a bucket. It must not be called within a
// write transaction.
//
// Commits of the store wait while the application has a write transaction
// open. Discard does not, unless SyncAlways was chosen; SetBase, Sync and
// Close do. Inside a write transaction use DiscardTx.
//
// Open the database with NoFreelistSync and FreelistMapType: see
// pubstore.OpenBoltIn.
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
		committer: committer{wake: signal.New(), now: signal.New(), stop: make(chan struct{}), done: make(chan struct{})},
		registry:  registry{places: make(map[string]*place)},
		committed: make(chan struct{}),
	}
	if err := b.guard(b.prepare); err != nil {
		return nil, fmt.Errorf("bookmark store: open %s: %w", b.path, err)
	}
	go b.commitAll()
	return b, nil
}

// prepare makes the buckets or checks the version of those that are there.
func (b *Bolt) prepare() error {
	if err := boltfile.Settle(b.db); err != nil {
		return err
	}
	there, err := b.check()
	if err != nil || there {
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

func (b *Bolt) check() (there bool, err error) {
	err = b.db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(b.bucket)
		if bucket == nil {
			return nil
		}
		format := bucket.Get(keyFormat)
		switch {
		case format == nil && bucket.Bucket(keySubscriptions) == nil:
			if key, _ := bucket.Cursor().First(); key != nil {
				return b.damaged("", key, errKey) // somebody else's bucket
			}
			return nil
		case format == nil:
			return b.damaged("", keyFormat, errMissing)
		case bucket.Bucket(keySubscriptions) == nil:
			return b.damaged("", keySubscriptions, errMissing)
		case len(format) != 1:
			return b.damaged("", keyFormat, errLength)
		case format[0] != formatVersion:
			return b.damaged("", keyFormat, newerFormat("it", format[0]))
		}
		there = true
		b.loadMet(bucket)
		return nil
	})
	return there, err
}

// damaged names the place of what does not decode: a *DamagedError, or a *VersionError.
func (b *Bolt) damaged(id string, key []byte, err error) error {
	where := string(b.bucket)
	if id != "" {
		where += "/" + id
	}
	if isNewer(err) {
		return &VersionError{Path: b.path, Bucket: where, Err: err}
	}
	return &DamagedError{Path: b.path, Bucket: where, Key: slices.Clone(key), Err: err}
}

// guard turns a panic of bbolt into a *DamagedError.
func (b *Bolt) guard(do func() error) error { return asDamaged(b.path, boltfile.Guard(b.path, do)) }

// update is that of the database, guarded.
func (b *Bolt) update(do func(*bbolt.Tx) error) error {
	return b.guard(func() error { return b.db.Update(do) })
}

// asDamaged makes damage of the file as a whole, or a later version of it, ours.
func asDamaged(path string, err error) error {
	if _, ours := errors.AsType[*VersionError](err); isNewer(err) && !ours {
		return &VersionError{Path: path, Err: err}
	}
	if d, ok := errors.AsType[*boltfile.DamageError](err); ok {
		return &DamagedError{Path: d.Path, Err: d.Err}
	}
	return err
}

// Subscription implements Store.
func (b *Bolt) Subscription(id string, q Query) (Subscription, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	p, err := b.place(id, q)
	if err != nil {
		return nil, err
	}
	return p.take(q)
}

// place returns the place of id, from the database when it is first asked for.
func (b *Bolt) place(id string, q Query) (*place, error) {
	if p, err := b.known(id, nil); p != nil || err != nil {
		return p, err
	}
	// Another call may read the same. The first to add it wins, and until
	// then nobody writes it.
	p, err := b.read(id, q)
	if err != nil {
		return nil, err
	}
	return b.known(id, p)
}

// read makes a place of what the database keeps under id.
func (b *Bolt) read(id string, q Query) (*place, error) {
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
			h, key, err := load(bucket, id, &p.w)
			if err != nil {
				return b.damaged(id, key, err)
			}
			p.query, p.generation = h.query, h.generation
			p.savedGeneration, p.savedBased = h.generation, h.based
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
		return nil, b.damaged("", keySubscriptions, errMissing)
	}
	return bucket, nil
}

// Close implements Store. Subscriptions need not be released before. In a
// shared database it waits for a write transaction the application has open.
func (b *Bolt) Close() error {
	if err := b.end(); err != nil {
		return err
	}
	// What the places took before, the last commit covers.
	close(b.stop)
	<-b.done

	b.mu.Lock()
	err := b.failed
	b.mu.Unlock()
	if b.own {
		if closing := b.db.Close(); err == nil && closing != nil {
			err = fmt.Errorf("bookmark store: close %s: %w", b.path, closing)
		}
	}
	return err
}
