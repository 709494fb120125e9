package bookmarkstore

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// The pace of the committer, so that a change signals it at most twice a commit.
const (
	idle     int32 = iota
	awake          // it waits for the interval to pass
	hurrying       // it was told not to
)

// errNothing rolls back a transaction that has nothing to write.
var errNothing = errors.New("nothing to commit")

// signal tells the committer about a change.
func (b *Bolt) signal() {
	if b.pace.Load() == idle && b.pace.CompareAndSwap(idle, awake) {
		b.wake.Set()
	}
	collected := b.collected.Load() // first, since changes only grows
	if b.changes.Load()-collected >= uint64(b.options.CommitOperations) && b.pace.CompareAndSwap(awake, hurrying) {
		b.now.Set()
	}
}

// Sync implements Store.
func (b *Bolt) Sync(ctx context.Context) error {
	if err := b.usable(); err != nil {
		return err
	}
	return b.wait(ctx)
}

// wait returns when all changes so far are durable.
func (b *Bolt) wait(ctx context.Context) error {
	changes := b.changes.Load()
	for hurried := false; ; {
		b.mu.Lock()
		durable, failed, committed := b.durable, b.failed, b.committed
		b.mu.Unlock()
		if failed != nil {
			return failed
		}
		if durable >= changes {
			return nil
		}
		if !hurried {
			hurried = true
			b.signal()
			b.now.Set()
		}
		select {
		case <-committed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// commitAll is the committer: it ends with Close, after a last commit.
func (b *Bolt) commitAll() {
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
		case <-b.now:
		case <-b.stop:
		}
		b.commit()
	}
}

// commit writes what changed. In a shared database it waits its turn.
func (b *Bolt) commit() {
	b.mu.Lock()
	failed, durable := b.failed, b.durable
	b.mu.Unlock()
	b.pace.Store(idle) // first: a change that is counted after this signals again
	if failed != nil || durable == b.changes.Load() {
		return
	}

	var covered uint64
	var heads []savedHead
	err := b.guard(func() error {
		return b.db.Update(func(tx *bbolt.Tx) (err error) {
			covered = b.changes.Load()
			b.collected.Store(covered)
			heads, err = b.saveAll(tx)
			return err
		})
	})
	if err != nil && !errors.Is(err, errNothing) && !mut.On(mut.R7IgnoreCommitError) {
		b.becomeFailed(err)
		return
	}
	for _, h := range heads {
		h.p.mu.Lock()
		h.p.savedLocked(h.head)
		h.p.mu.Unlock()
	}
	b.mu.Lock()
	b.durable = covered
	close(b.committed)
	b.committed = make(chan struct{})
	b.mu.Unlock()
}

// becomeFailed is for good: what a database holds after a failed commit is
// known only to the next process that reads it (R7).
func (b *Bolt) becomeFailed(err error) {
	failed := &FailedError{Path: b.path, Err: err}
	// The places first: who hears of it from Sync hears the same from them.
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
			p.end(failed)
		}
		ended += len(places)
	}
}

// A savedHead is a head that a transaction has written.
type savedHead struct {
	p    *place
	head head
}

// saveAll writes what changed in every place.
func (b *Bolt) saveAll(tx *bbolt.Tx) ([]savedHead, error) {
	b.mu.Lock()
	places := b.order
	b.mu.Unlock()

	subscriptions, err := b.subscriptions(tx)
	if err != nil {
		return nil, err
	}
	var heads []savedHead
	nothing := true
	for _, p := range places {
		p.mu.Lock()
		s, some := p.collectLocked()
		p.clearLocked()
		p.mu.Unlock()
		if !some {
			continue
		}
		nothing = false
		if err := b.save(subscriptions, s); err != nil {
			return nil, err
		}
		if s.headUnsaved {
			heads = append(heads, savedHead{p, s.head})
		}
	}
	if nothing {
		return nil, errNothing
	}
	return heads, nil
}

// A save is what a transaction has to write of one place.
type save struct {
	id          string
	head        head
	headUnsaved bool
	points      []point
	outOfOrder  []uint64 // of all points, one after the other
}

// A point is what has to be written of one publisher.
type point struct {
	publisher uint64
	discarded uint64
	left      bool // with all of that: nothing of it stays
	sweep     bool // the database may have out-of-order discards at or below discarded
	added     int  // how many of save.outOfOrder are this publisher's
}

// collectLocked returns what the database does not have yet.
func (p *place) collectLocked() (save, bool) {
	s := save{id: p.id, head: p.headLocked(), headUnsaved: p.headUnsavedLocked()}
	if len(p.dirty) == 0 {
		return s, s.headUnsaved
	}
	s.points = make([]point, 0, len(p.dirty))
	for _, publisher := range p.dirty {
		n := &publisher.note
		before := len(s.outOfOrder)
		for _, sequence := range n.pending {
			if sequence > publisher.discarded {
				s.outOfOrder = append(s.outOfOrder, sequence)
			}
		}
		added := len(s.outOfOrder) - before
		s.points = append(s.points, point{publisher.id, publisher.discarded, n.left, n.kept, added})
	}
	return s, true
}

// clearLocked takes what was collected as written: if it is not, the store has failed.
func (p *place) clearLocked() {
	for _, n := range p.dirty {
		n.kept = n.kept || len(n.pending) > 0
		n.pending = n.pending[:0]
		n.dirty = false
	}
	clear(p.dirty)
	p.dirty = p.dirty[:0]
}

// save writes what was collected of a place.
func (b *Bolt) save(subscriptions *bbolt.Bucket, s save) error {
	bucket, err := b.saveHead(subscriptions, s)
	if err != nil {
		return err
	}
	outOfOrder := s.outOfOrder
	for _, pt := range s.points {
		if err := b.savePoint(bucket, s.id, pt, outOfOrder[:pt.added]); err != nil {
			return err
		}
		outOfOrder = outOfOrder[pt.added:]
	}
	return nil
}

// saveHead returns the bucket of a subscription, empty if what is there is of
// an earlier generation, with its head written.
func (b *Bolt) saveHead(subscriptions *bbolt.Bucket, s save) (*bbolt.Bucket, error) {
	bucket := subscriptions.Bucket([]byte(s.id))
	if bucket != nil && !s.headUnsaved {
		return bucket, nil
	}
	if bucket != nil {
		there, err := b.headOf(bucket, s.id)
		if err != nil {
			return nil, err
		}
		if there.generation < s.head.generation {
			if err := subscriptions.DeleteBucket([]byte(s.id)); err != nil {
				return nil, err
			}
			bucket = nil
		}
	}
	if bucket == nil {
		var err error
		if bucket, err = subscriptions.CreateBucket([]byte(s.id)); err != nil {
			return nil, err
		}
	}
	return bucket, bucket.Put(keyHead, encodeHead(s.id, s.head))
}

// headOf returns the head in the bucket of a subscription.
func (b *Bolt) headOf(bucket *bbolt.Bucket, id string) (h head, err error) {
	err = errMissing
	if value := bucket.Get(keyHead); value != nil {
		h, err = decodeHead(id, value)
	}
	if err != nil {
		return h, b.damaged(id, keyHead, err)
	}
	return h, nil
}

// savePoint writes what changed of one publisher. Only what is in the way of
// the new point is read.
func (b *Bolt) savePoint(bucket *bbolt.Bucket, id string, pt point, added []uint64) error {
	key := discardedKey(pt.publisher)
	if value := bucket.Get(key); value != nil {
		there, err := decodeDiscarded(id, key, value)
		if err != nil {
			return b.damaged(id, key, err)
		}
		// The database is ahead between a commit of the application with
		// DiscardTx in it and its OnCommit. It must not fall back.
		if there > pt.discarded || there == pt.discarded && !pt.left {
			pt.left = false
			pt.discarded = 0
			added = above(added, there)
		}
	}
	if pt.left {
		if err := bucket.Delete(key); err != nil {
			return err
		}
		return sweep(bucket, pt.publisher, pt.discarded)
	}
	if pt.discarded > 0 {
		if err := bucket.Put(key, encodeDiscarded(id, key, pt.discarded)); err != nil {
			return err
		}
		if pt.sweep {
			if err := sweep(bucket, pt.publisher, pt.discarded); err != nil {
				return err
			}
		}
	}
	for _, sequence := range added {
		key := outOfOrderKey(Bookmark{Publisher: pt.publisher, Sequence: sequence})
		if err := bucket.Put(key, encodeOutOfOrder(id, key)); err != nil {
			return err
		}
	}
	return nil
}

// above returns the sequences above limit.
func above(sequences []uint64, limit uint64) []uint64 {
	kept := sequences[:0]
	for _, sequence := range sequences {
		if sequence > limit {
			kept = append(kept, sequence)
		}
	}
	return kept
}

// sweep removes the out-of-order discards of a publisher that its discarded
// point has reached.
func sweep(bucket *bbolt.Bucket, publisher, discarded uint64) error {
	from := outOfOrderKey(Bookmark{Publisher: publisher})
	c := bucket.Cursor()
	for {
		// Sought anew each time: a cursor may skip a key after a Delete. The
		// search begins at the deleted key: from the first one it would walk over
		// every page that was emptied so far.
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
