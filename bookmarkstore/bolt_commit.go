package bookmarkstore

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// These are the states of the committer (Bolt.committerState). Because of them there are at most
// two signals per commit, however many changes there are.
const (
	committerIdle    int32 = iota
	committerWaiting       // the committer waits for the interval
	committerHurried       // the committer was told to commit now
)

// errNoChanges rolls back a transaction that has nothing to write.
var errNoChanges = errors.New("nothing to commit")

// signalChange signals the committer if the last change has to start or speed up a commit.
func (b *Bolt) signalChange() {
	if b.committerState.Load() == committerIdle && b.committerState.CompareAndSwap(committerIdle, committerWaiting) {
		b.wake.Set()
	}
	collected := b.collected.Load() // read first, since changes only grows
	if b.changes.Load()-collected >= uint64(b.options.CommitThreshold) && b.committerState.CompareAndSwap(committerWaiting, committerHurried) {
		b.hurry.Set()
	}
}

// Sync implements Store.
func (b *Bolt) Sync(ctx context.Context) error {
	if err := b.checkOpen(); err != nil {
		return err
	}
	return b.awaitDurable(ctx)
}

// awaitDurable returns when all changes so far are durable.
func (b *Bolt) awaitDurable(ctx context.Context) error {
	changes := b.changes.Load()
	for signalled := false; ; {
		b.mu.Lock()
		durable, failed, committed := b.durable, b.failed, b.committed
		b.mu.Unlock()
		if failed != nil {
			return failed
		}
		if durable >= changes {
			return nil
		}
		if !signalled {
			signalled = true
			b.signalChange()
			b.hurry.Set()
		}
		select {
		case <-committed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// commitLoop is the committer. After Close it commits once more and ends.
func (b *Bolt) commitLoop() {
	defer close(b.done)
	interval := time.NewTimer(b.options.CommitInterval)
	defer interval.Stop()
	for {
		select {
		case <-b.wake:
		case <-b.stop:
			b.commit()
			return
		}
		interval.Reset(b.options.CommitInterval)
		select {
		case <-interval.C:
		case <-b.hurry:
		case <-b.stop:
		}
		b.commit()
	}
}

// commit writes all changes. In a shared database it waits for open write transactions.
func (b *Bolt) commit() {
	b.mu.Lock()
	failed, durable := b.failed, b.durable
	b.mu.Unlock()
	b.committerState.Store(committerIdle) // first: a change counted after this line signals again
	if failed != nil || durable == b.changes.Load() {
		return
	}

	var covered uint64
	var written []placeWrite
	err := b.update(func(tx *bbolt.Tx) (err error) {
		covered = b.changes.Load()
		b.collected.Store(covered)
		written, err = b.writeAll(tx)
		return err
	})
	if err != nil && !errors.Is(err, errNoChanges) && !failpoint.On(failpoint.R7IgnoreCommitError) {
		b.setFailed(err)
		return
	}
	for _, w := range written {
		w.p.mu.Lock()
		w.p.headWrittenLocked(w.head)
		w.p.mu.Unlock()
	}
	b.mu.Lock()
	b.durable = covered
	close(b.committed)
	b.committed = make(chan struct{})
	b.mu.Unlock()
}

// setFailed puts the store into the failed state for good. After a failed commit, only the next
// process that reads the database finds out its content (R7).
func (b *Bolt) setFailed(err error) {
	failed := &FailedError{Path: b.path, Err: err}
	// The places fail first: a caller that gets the error from Sync must get it from them, too.
	for ended := 0; ; {
		b.mu.Lock()
		places := b.order[ended:]
		if len(places) == 0 {
			b.failed = failed
			close(b.committed)
			b.committed = make(chan struct{})
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		for _, p := range places {
			p.setEndErr(failed)
		}
		ended += len(places)
	}
}

// writeAll writes the changes of all places.
func (b *Bolt) writeAll(tx *bbolt.Tx) (written []placeWrite, err error) {
	b.mu.Lock()
	places := b.order
	b.mu.Unlock()

	subscriptions, err := b.subscriptions(tx)
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		p.mu.Lock()
		w, changed := p.collectLocked()
		p.clearLocked()
		p.mu.Unlock()
		if !changed {
			continue
		}
		if err := b.writePlace(subscriptions, w); err != nil {
			return nil, err
		}
		written = append(written, w)
	}
	if len(written) == 0 {
		return nil, errNoChanges
	}
	return written, nil
}

// A placeWrite holds the changes of one place that a transaction has to write.
type placeWrite struct {
	p           *place
	head        head
	headChanged bool
	publishers  []publisherWrite
}

// A publisherWrite holds the changes of one publisher that a transaction has to write.
type publisherWrite struct {
	publisher  uint64
	discarded  uint64
	removed    bool     // the publisher was removed when it was at discarded
	sweep      bool     // the database may have out-of-order discards at or below discarded
	outOfOrder []uint64 // out-of-order discards that the database does not have
}

// collectLocked returns everything that the database does not have yet.
func (p *place) collectLocked() (w placeWrite, changed bool) {
	w = placeWrite{p: p, head: p.headLocked(), headChanged: p.headChangedLocked()}
	if len(p.dirty) == 0 {
		return w, w.headChanged
	}
	w.publishers = make([]publisherWrite, 0, len(p.dirty))
	var outOfOrder []uint64 // of all publishers, one after the other
	for _, publisher := range p.dirty {
		c := &publisher.publisherChanges
		start := len(outOfOrder)
		for _, sequence := range c.pending {
			if sequence > publisher.discarded {
				outOfOrder = append(outOfOrder, sequence)
			}
		}
		w.publishers = append(w.publishers, publisherWrite{publisher.id, publisher.discarded, c.removed, c.storedOutOfOrder || c.removed, outOfOrder[start:]})
	}
	return w, true
}

// clearLocked records that the collected changes are written. If their commit fails, so does the
// store.
func (p *place) clearLocked() {
	for _, c := range p.dirty {
		c.storedOutOfOrder = c.storedOutOfOrder || len(c.pending) > 0
		c.pending = c.pending[:0]
		c.dirty = false
	}
	clear(p.dirty)
	p.dirty = p.dirty[:0]
}

// writePlace writes the collected changes of a place.
func (b *Bolt) writePlace(subscriptions *bbolt.Bucket, w placeWrite) error {
	bucket, err := b.writeHead(subscriptions, w)
	for _, p := range w.publishers {
		if err == nil {
			err = b.writePublisher(bucket, w.p.id, p)
		}
	}
	return err
}

// writeHead writes the head of a subscription and returns its bucket. If the stored bucket has an
// earlier generation, writeHead empties it first.
func (b *Bolt) writeHead(subscriptions *bbolt.Bucket, w placeWrite) (*bbolt.Bucket, error) {
	name := []byte(w.p.id)
	if bucket := subscriptions.Bucket(name); bucket != nil {
		if !w.headChanged {
			return bucket, nil
		}
		stored, err := b.headOf(bucket, w.p.id)
		if err == nil && stored.generation < w.head.generation {
			err = subscriptions.DeleteBucket(name)
		}
		if err != nil {
			return nil, err
		}
	}
	bucket, err := subscriptions.CreateBucketIfNotExists(name)
	if err != nil {
		return nil, err
	}
	return bucket, bucket.Put(keyHead, encodeHead(w.p.id, w.head))
}

// headOf returns the head in the bucket of a subscription.
func (b *Bolt) headOf(bucket *bbolt.Bucket, id string) (h head, err error) {
	err = errMissing
	if value := bucket.Get(keyHead); value != nil {
		h, err = decodeHead(id, value)
	}
	if err != nil {
		return h, b.damagedError(id, keyHead, err)
	}
	return h, nil
}

// discardedOf returns the stored discarded point of a publisher, 0 if there is none.
func (b *Bolt) discardedOf(bucket *bbolt.Bucket, id string, key []byte) (through uint64, err error) {
	if value := bucket.Get(key); value != nil {
		if through, err = decodeDiscarded(id, key, value); err != nil {
			return 0, b.damagedError(id, key, err)
		}
	}
	return through, nil
}

// writePublisher writes the changes of one publisher. It reads only the stored discarded point and
// the keys that the new one replaces.
func (b *Bolt) writePublisher(bucket *bbolt.Bucket, id string, p publisherWrite) error {
	key := discardedKey(p.publisher)
	stored, err := b.discardedOf(bucket, id, key)
	if err != nil {
		return err
	}
	// Between the commit of an application's transaction with DiscardTx and its OnCommit, the
	// database is ahead of the window. This write must not move it back.
	if stored > p.discarded || stored == p.discarded && !p.removed {
		p.removed, p.discarded = false, 0
		p.outOfOrder = slices.DeleteFunc(p.outOfOrder, func(sequence uint64) bool { return sequence <= stored })
	}
	switch {
	case p.removed:
		err = bucket.Delete(key)
	case p.discarded > 0:
		err = bucket.Put(key, encodeDiscarded(id, key, p.discarded))
	}
	if err == nil && p.sweep && p.discarded > 0 {
		err = sweep(bucket, p.publisher, p.discarded)
	}
	for _, sequence := range p.outOfOrder {
		if err == nil {
			key := outOfOrderKey(Bookmark{Publisher: p.publisher, Sequence: sequence})
			err = bucket.Put(key, encodeOutOfOrder(id, key))
		}
	}
	return err
}

// sweep removes the out-of-order discards of a publisher up to its discarded point.
func sweep(bucket *bbolt.Bucket, publisher, discarded uint64) error {
	from := outOfOrderKey(Bookmark{Publisher: publisher})
	c := bucket.Cursor()
	for {
		// Seek again each time: a cursor may skip a key after a Delete. Start at the deleted key: a
		// search from the first key would walk over every page that has become empty.
		key, _ := c.Seek(from)
		if len(key) != 16 || binary.BigEndian.Uint64(key) != publisher || binary.BigEndian.Uint64(key[8:]) > discarded {
			return nil
		}
		from = append(from[:0], key...)
		if err := c.Delete(); err != nil {
			return err
		}
	}
}
