package pubstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// txAppends are the messages that a transaction of the application adds. What
// becomes of them shows late: a rollback not at all, a commit perhaps only
// after the next transaction has begun.
type txAppends struct {
	tx       *bbolt.Tx
	last     uint64 // sequence of the newest
	messages []pendingMessage
	bytes    int64
	entered  bool // into the ledger
}

type pendingMessage struct {
	seq  uint64
	size int
	ms   int64
}

// AppendTx keeps a message as a part of the application's own transaction: it
// is in the store if and only if tx commits, and is sent then. The sequence is
// given out by the transaction too, so a rollback spends none. At the store's
// bound it returns ErrFull, since it can't wait inside a transaction: what is in
// tx already may be committed, and AwaitRoom waits then.
//
// Nothing of the client must be waited for while tx is open: what the client
// commits waits for its end. An error of the commit itself, not of what is done
// in the transaction, is a disk that failed; what it left is known only to the
// next process that opens the database: end this one.
func (s *Bolt) AppendTx(tx *bbolt.Tx, topic string, body []byte) (seq uint64, err error) {
	return s.AppendMessageTx(tx, &Message{Topic: topic, Body: body})
}

// AppendMessageTx is AppendTx for a message with more than topic and body.
func (s *Bolt) AppendMessageTx(tx *bbolt.Tx, m *Message) (seq uint64, err error) {
	if tx.DB() != s.db || !tx.Writable() {
		return 0, errors.New("publish store: AppendTx needs a writable transaction on the store's database")
	}
	if err := check(m, s.maxMessage); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		return 0, s.ended
	}
	root := tx.Bucket(s.bucket)
	current, err := s.currentLocked(root)
	if err != nil {
		return 0, fmt.Errorf("publish store: %w", err)
	}
	batch := s.batchLocked(tx, current)
	if !s.fitsTxLocked(m.Size()) {
		return 0, ErrFull
	}
	m.Time = time.Now()
	if err := s.putLocked(root, m, batch); err != nil {
		return 0, err
	}
	if mut.On(mut.TxSentEarly) {
		s.enterThroughLocked(m.Sequence)
	}
	return m.Sequence, nil
}

// AwaitRoom returns when the store has room for a message of size bytes
// (Message.Size), or ctx ends, also with FailWhenFull: for who has met ErrFull in
// a transaction, after its end. Nothing is reserved: what others append
// meanwhile may take the room. A size that the store never takes is a
// *TooLargeError; if ctx ends the wait the error is both ErrFull and that of ctx.
func (s *Bolt) AwaitRoom(ctx context.Context, size int) error {
	if size > s.maxMessage {
		return &TooLargeError{Size: size, Max: s.maxMessage, Limit: ownLimit}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roomLocked(ctx, size, false)
}

// currentLocked returns the bucket of the life that is appended to.
func (s *Bolt) currentLocked(root *bbolt.Bucket) (*bbolt.Bucket, error) {
	if b := lifeBucket(root, s.ledger.current().publisher); b != nil {
		return b, nil
	}
	return nil, fmt.Errorf("bucket %q was removed or changed by someone else", s.bucket)
}

// batchLocked returns what tx has added so far. A first call of it knows what
// became of all transactions before, since there is one at a time.
func (s *Bolt) batchLocked(tx *bbolt.Tx, current *bbolt.Bucket) *txAppends {
	if n := len(s.pending); n > 0 && s.pending[n-1].tx == tx {
		return s.pending[n-1]
	}
	s.settleLocked(current.Sequence())
	batch := &txAppends{tx: tx}
	s.pending = append(s.pending, batch)
	tx.OnCommit(func() { s.committed(batch) })
	return batch
}

// settleLocked enters into the ledger what was committed before the current
// transaction, all up to last, and forgets what was rolled back.
func (s *Bolt) settleLocked(last uint64) {
	s.enterThroughLocked(last)
	if !mut.On(mut.TxRollbackKept) {
		s.pending = s.pending[:0]
	}
}

// committed is told by a transaction after its commit, when others may have
// begun or even committed.
func (s *Bolt) committed(batch *txAppends) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !batch.entered {
		s.enterThroughLocked(batch.last)
	}
}

// enterThroughLocked enters into the ledger what is committed: pending up to last.
func (s *Bolt) enterThroughLocked(last uint64) {
	n := 0
	for n < len(s.pending) && s.pending[n].last <= last {
		s.enterLocked(s.pending[n])
		n++
	}
	s.pending = slices.Delete(s.pending, 0, n)
}

func (s *Bolt) enterLocked(batch *txAppends) {
	w := s.ledger.current()
	for _, m := range batch.messages {
		if m.seq != w.last+1 {
			s.failLocked(fmt.Errorf("message %d follows %d: the bucket was changed by someone else", m.seq, w.last))
			return
		}
		w.append(0, m.size, m.ms)
	}
	batch.entered = true
	s.signal()
}

// fitsTxLocked reports whether a message has room beside what is pending.
func (s *Bolt) fitsTxLocked(size int) bool {
	n, bytes := 0, int64(size)
	for _, batch := range s.pending {
		n += len(batch.messages)
		bytes += batch.bytes
	}
	return s.ledger.fitsBeside(n, bytes)
}
