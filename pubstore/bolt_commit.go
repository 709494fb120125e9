package pubstore

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/boltfile"
	"github.com/holdfast-mq/holdfast/internal/record"
)

// The store's bucket holds the state (stateformat.go) under "state", and one bucket for each life,
// named by its publisher id. The bucket of a life holds the records (record.go) by sequence; its
// bbolt sequence is the last one given out. All numbers are big endian.

var stateKey = []byte("state")

const (
	maxBatch = 1000 // ops in one commit
	// maxSweep is the maximum number of messages that one commit deletes.
	maxSweep = 10_000
)

func lifeKey(publisher uint64) []byte { return binary.BigEndian.AppendUint64(nil, publisher) }
func seqKey(seq uint64) []byte        { return binary.BigEndian.AppendUint64(nil, seq) }

// recover reads the state from the bucket and opens it under a boot id. It does not write to the
// disk, so an error is always about the content of the bucket.
func (s *Bolt) recover(tx *bbolt.Tx, boot string) error {
	err := s.recoverBucket(tx, boot)
	if versionErr := asVersionError(s.db.Path(), err); versionErr != nil {
		return versionErr
	}
	if err != nil {
		return &DamagedError{s.db.Path(), err}
	}
	return nil
}

func (s *Bolt) recoverBucket(tx *bbolt.Tx, boot string) error {
	root, err := tx.CreateBucketIfNotExists(s.bucket)
	if err != nil {
		return err
	}
	if p := root.Get(stateKey); p != nil {
		if err := s.state.decode(p); err != nil {
			return err
		}
	}
	for _, l := range s.state.lives {
		if s.acceptDamage {
			err = s.salvageLife(root, l)
		} else {
			err = s.recoverLife(root, l)
		}
		if err != nil {
			return err
		}
	}
	if s.salvaged || s.mayLackCommit {
		s.state.closed, s.state.boot = false, "" // a new life begins, since numbers may have been lost (R10)
	}
	s.state.recordOpen(boot, rand.Text())
	return s.putState(root)
}

// recoverLife fills the slots of a life from the records in its bucket.
func (s *Bolt) recoverLife(root *bbolt.Bucket, l *lifeState) error {
	b := root.Bucket(lifeKey(l.publisher))
	if b == nil {
		return fmt.Errorf("publisher %d has no bucket", l.publisher)
	}
	if l.last = b.Sequence(); l.last < l.acked {
		return fmt.Errorf("publisher %d: discarded up to %d, but sequences were given out only up to %d", l.publisher, l.acked, l.last)
	}
	if err := l.prepareSlots(uint64(b.Stats().KeyN)); err != nil {
		return err
	}
	if badKeys := s.fill(b, l); len(badKeys) > 0 {
		return fmt.Errorf("publisher %d, key %x: %w", l.publisher, badKeys[0], record.ErrMalformed)
	}
	if seq := l.nextMissing(0); seq != 0 {
		return fmt.Errorf("publisher %d: message %d is missing", l.publisher, seq)
	}
	return nil
}

// fill fills the slots of a life from its bucket. It returns the keys whose value is not the right
// message.
func (s *Bolt) fill(b *bbolt.Bucket, l *lifeState) (badKeys [][]byte) {
	s.swept[l.publisher] = l.acked
	c := b.Cursor()
	for k, rec := c.First(); k != nil; k, rec = c.Next() {
		publisher, seq, _ := recordIdentity(rec)
		size, ms, err := recordMeta(rec)
		if err != nil || publisher != l.publisher || len(k) != 8 || binary.BigEndian.Uint64(k) != seq || seq > l.last {
			badKeys = append(badKeys, slices.Clone(k))
			continue
		}
		l.fillSlot(seq, 0, size, ms)
		if seq <= l.acked {
			s.swept[l.publisher] = min(s.swept[l.publisher], seq-1)
		}
	}
	return badKeys
}

// highestGivenOut returns the highest sequence that a damaged life has certainly given out. The one
// in the state may be out of date. b may be nil.
func highestGivenOut(b *bbolt.Bucket, l *lifeState) uint64 {
	highest := max(l.last, l.acked)
	if b == nil {
		return highest
	}
	if key, _ := b.Cursor().Last(); len(key) == 8 {
		highest = max(highest, binary.BigEndian.Uint64(key))
	}
	return max(highest, b.Sequence())
}

// salvageLimit returns the highest plausible number of kept messages of a damaged life.
func salvageLimit(root *bbolt.Bucket) uint64 {
	return uint64(root.Tx().Size())/minRecordLen + maxSalvage
}

// maxSalvage is the number of missing messages that salvageLimit allows in addition to the messages
// that fit into the file. Without a limit, a damaged number could claim all memory.
const maxSalvage = 1 << 20

// salvageLife is recoverLife for a damaged store. It gives up unreadable messages.
func (s *Bolt) salvageLife(root *bbolt.Bucket, l *lifeState) error {
	b, err := root.CreateBucketIfNotExists(lifeKey(l.publisher))
	if err != nil {
		return err
	}
	highest := highestGivenOut(b, l)
	if highest != b.Sequence() {
		s.salvaged = true
		if err := b.SetSequence(highest); err != nil {
			return err
		}
	}
	l.last = highest
	if err := l.prepareSlots(salvageLimit(root)); err != nil {
		return err
	}
	for _, key := range s.fill(b, l) {
		s.salvaged = true
		if err := boltfile.Remove(b, key); err != nil {
			return err
		}
	}
	if n := l.giveUpMissing(); n > 0 {
		s.salvaged, s.givenUp = true, s.givenUp+n
	}
	return nil
}

// commitLoop is the committer, the only goroutine of the store. It commits an op at once, together
// with the ops that arrived during the last commit. Deletions of discarded and rejected messages
// wait for the next such commit, or until the interval has passed.
func (s *Bolt) commitLoop() {
	defer close(s.done)
	for {
		select {
		case <-s.urgent:
			yieldForBatch(s.queueLen)
		case <-s.lazy:
			s.awaitCommitTime()
		case <-s.stop:
			for s.commit() { // commit the ops that waited when the store was closed
			}
			return
		}
		s.commit()
	}
}

// queueLen returns the number of waiting ops.
func (s *Bolt) queueLen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}

// awaitCommitTime waits until the interval has passed, an op arrives, or the store is closed.
func (s *Bolt) awaitCommitTime() {
	select {
	case <-time.After(s.interval):
	case <-s.urgent:
		yieldForBatch(s.queueLen)
	case <-s.stop:
	}
}

// commit commits one batch. It reports whether the batch contained an op.
func (s *Bolt) commit() bool {
	batch, err := s.takeBatch()
	if len(batch) == 0 && !s.hasUnsaved() {
		return false
	}
	errs := make([]error, len(batch))
	if err == nil {
		err = s.update(func(tx *bbolt.Tx) error { return s.applyBatch(tx, batch, errs) })
		if err != nil {
			err = s.fail(err)
		}
	}
	s.disk.refresh()
	s.finishBatch(batch, errs, err)
	return len(batch) > 0
}

// hasUnsaved reports whether the database still has discarded or rejected messages or an old state.
func (s *Bolt) hasUnsaved() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if isFailed(s.endErr) {
		return false
	}
	for _, l := range s.state.lives {
		if s.swept[l.publisher] < l.acked {
			return true
		}
	}
	return s.dirty || len(s.rejectedKeys) > 0
}

// takeBatch removes the next batch from the queue: a run of appends, or one change. If it returns
// an error, the batch cannot be committed.
func (s *Bolt) takeBatch() ([]*boltOp, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.queue) && n < maxBatch && (n == 0 || s.queue[n].m != nil && s.queue[0].m != nil) {
		n++
	}
	batch := s.queue[:n:n]
	if s.queue = s.queue[n:]; len(s.queue) > 0 {
		s.urgent.Set()
	}
	if isFailed(s.endErr) {
		return batch, s.endErr
	}
	return batch, nil
}

// applyBatch carries out a batch in a transaction, with the deletions since the last one. It stores
// the error of a change in errs.
func (s *Bolt) applyBatch(tx *bbolt.Tx, batch []*boltOp, errs []error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	root := tx.Bucket(s.bucket)
	current, err := s.currentBucketLocked(root)
	if err != nil {
		return err
	}
	s.resolvePendingLocked(current.Sequence())
	added := &txAppends{tx: tx}
	for i, op := range batch {
		if op.m != nil {
			err = s.putLocked(root, op.m, added)
		} else if errs[i] = op.change(&s.state); errs[i] == nil {
			s.dirty = true
		}
		if err != nil {
			return err
		}
	}
	if len(added.messages) > 0 {
		s.pending = append(s.pending, added)
	}
	if err := s.sweepLocked(root); err != nil || !s.dirty {
		return err
	}
	s.dirty = false
	return s.putState(root)
}

// putLocked assigns the sequence of a message, puts its record into the bucket of the current life,
// and adds the message to those of its transaction.
func (s *Bolt) putLocked(root *bbolt.Bucket, m *Message, added *txAppends) (err error) {
	l := s.state.current()
	b := root.Bucket(lifeKey(l.publisher))
	m.Publisher = l.publisher
	if m.Sequence, err = b.NextSequence(); err != nil {
		return err
	}
	rec, err := new(encoder).append(make([]byte, 0, minRecordLen+m.Size()+maxExtraLen), m)
	if err == nil {
		err = b.Put(seqKey(m.Sequence), append(rec, m.Body...))
	}
	if err != nil {
		return err
	}
	added.last = m.Sequence
	added.bytes += int64(m.Size())
	added.messages = append(added.messages, pendingMessage{m.Sequence, m.Size(), m.Time.UnixMilli()})
	return nil
}

// putState writes the state. It creates buckets for new lives and deletes those of pruned lives.
func (s *Bolt) putState(root *bbolt.Bucket) error {
	for _, l := range s.state.lives {
		if _, ok := s.swept[l.publisher]; !ok {
			if _, err := root.CreateBucket(lifeKey(l.publisher)); err != nil {
				return err
			}
			s.swept[l.publisher] = 0
		}
	}
	for publisher := range s.swept {
		if s.state.lifeOf(publisher) == nil {
			if err := root.DeleteBucket(lifeKey(publisher)); err != nil {
				return err
			}
			delete(s.swept, publisher)
		}
	}
	return root.Put(stateKey, s.state.encode())
}

// sweepLocked deletes discarded and rejected messages, at most maxSweep of them.
func (s *Bolt) sweepLocked(root *bbolt.Bucket) error {
	budget := maxSweep
	for _, l := range s.state.lives {
		if _, ok := s.swept[l.publisher]; !ok {
			continue // a new life
		}
		b := root.Bucket(lifeKey(l.publisher))
		for ; s.swept[l.publisher] < l.acked && budget > 0; budget-- {
			if err := b.Delete(seqKey(s.swept[l.publisher] + 1)); err != nil {
				return err
			}
			s.swept[l.publisher]++
		}
	}
	for ; len(s.rejectedKeys) > 0 && budget > 0; budget-- {
		if b := root.Bucket(lifeKey(s.rejectedKeys[0].life)); b != nil {
			if err := b.Delete(seqKey(s.rejectedKeys[0].seq)); err != nil {
				return err
			}
		}
		s.rejectedKeys = s.rejectedKeys[1:]
	}
	if budget == 0 {
		s.lazy.Set()
	}
	return nil
}

// finishBatch adds the messages of a committed batch to the state and completes its ops.
func (s *Bolt) finishBatch(batch []*boltOp, errs []error, err error) {
	s.mu.Lock()
	if err == nil && len(batch) > 0 && batch[0].m != nil {
		s.applyPendingLocked(batch[len(batch)-1].m.Sequence)
	}
	for _, op := range batch {
		if op.m != nil {
			s.state.reserved--
			s.state.reservedBytes -= int64(op.m.Size())
		}
	}
	s.waiting.wakeFirst()
	s.mu.Unlock()
	for i, op := range batch {
		op.done <- cmp.Or(err, errs[i])
	}
}

// commitClosed records that the store was closed cleanly.
func (s *Bolt) commitClosed() error {
	err := s.update(func(tx *bbolt.Tx) error {
		s.mu.Lock()
		s.state.closed, s.dirty = true, true
		s.mu.Unlock()
		return s.applyBatch(tx, nil, nil)
	})
	if err != nil {
		return s.failDuringClose(&FailedError{Path: s.db.Path(), Err: err})
	}
	return nil
}
