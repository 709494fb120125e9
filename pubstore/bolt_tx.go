package pubstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A txAppends holds the messages that one transaction adds. The store learns the outcome of a
// transaction of the application late: bbolt does not report a rollback, and may report a commit
// only after the next transaction has begun.
type txAppends struct {
	tx       *bbolt.Tx
	last     uint64 // sequence of the newest message
	messages []pendingMessage
	bytes    int64
	applied  bool // the messages are in the state
}

type pendingMessage struct {
	seq  uint64
	size int
	ms   int64
}

// AppendTx stores a message within the application's own transaction. If tx commits, the message is
// in the store and is sent. If tx rolls back, the message does not exist and its sequence is given
// to another one. At the store's bound AppendTx returns ErrFull, since it cannot wait inside a
// transaction. The application may still commit the other messages of tx; afterwards it can wait
// with AwaitRoom.
//
// Do not wait for the client while tx is open: the client's own commits wait for the end of tx. If
// the commit itself fails, rather than a call within the transaction, the disk has failed. End the
// process then: only the next process that opens the database finds out whether the transaction was
// committed.
func (s *Bolt) AppendTx(tx *bbolt.Tx, topic string, body []byte) (seq uint64, err error) {
	return s.AppendMessageTx(tx, &Message{Topic: topic, Body: body})
}

// AppendMessageTx is AppendTx for a message with more fields than topic and body.
func (s *Bolt) AppendMessageTx(tx *bbolt.Tx, m *Message) (seq uint64, err error) {
	if tx.DB() != s.db || !tx.Writable() {
		return 0, errors.New("publish store: AppendTx needs a writable transaction on the store's database")
	}
	if err := checkMessage(m, s.maxMessage); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endErr != nil {
		return 0, s.endErr
	}
	root := tx.Bucket(s.bucket)
	current, err := s.currentBucketLocked(root)
	if err != nil {
		return 0, fmt.Errorf("publish store: %w", err)
	}
	added := s.txAppendsLocked(tx, current)
	if !s.fitsTxLocked(m.Size()) {
		return 0, ErrFull
	}
	m.Time = time.Now()
	if err := s.putLocked(root, m, added); err != nil {
		return 0, err
	}
	if failpoint.On(failpoint.TxSentEarly) {
		s.applyPendingLocked(m.Sequence)
	}
	return m.Sequence, nil
}

// AwaitRoom returns once the store has room for a message of size bytes (Message.Size), or ctx
// ends. It waits even with FailWhenFull. Call it after the end of a transaction that got ErrFull.
// It reserves nothing: concurrent Appends may take the room. The error is a *TooLargeError if the
// store never takes a message of this size. If ctx ends the wait, the error matches both ErrFull
// and the error of ctx.
func (s *Bolt) AwaitRoom(ctx context.Context, size int) error {
	if size > s.maxMessage {
		return &TooLargeError{Size: size, Max: s.maxMessage, Setting: limitSetting}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.awaitRoomLocked(ctx, size, false)
}

// currentBucketLocked returns the bucket of the current life.
func (s *Bolt) currentBucketLocked(root *bbolt.Bucket) (*bbolt.Bucket, error) {
	if b := lifeBucket(root, s.state.current().publisher); b != nil {
		return b, nil
	}
	return nil, fmt.Errorf("bucket %q was removed or changed by the application", s.bucket)
}

// txAppendsLocked returns the messages that tx has added so far. bbolt runs one write transaction
// at a time, so at the first call for tx the outcome of all earlier ones is known.
func (s *Bolt) txAppendsLocked(tx *bbolt.Tx, current *bbolt.Bucket) *txAppends {
	if n := len(s.pending); n > 0 && s.pending[n-1].tx == tx {
		return s.pending[n-1]
	}
	s.resolvePendingLocked(current.Sequence())
	added := &txAppends{tx: tx}
	s.pending = append(s.pending, added)
	tx.OnCommit(func() { s.onTxCommit(added) })
	return added
}

// resolvePendingLocked adds the pending messages up to last to the state: they were committed
// before the current transaction. It drops the others, which were rolled back.
func (s *Bolt) resolvePendingLocked(last uint64) {
	s.applyPendingLocked(last)
	if !failpoint.On(failpoint.TxRollbackKept) {
		s.pending = s.pending[:0]
	}
}

// onTxCommit handles the commit of a transaction of the application. bbolt calls it after the
// commit, when later transactions may have begun or even committed.
func (s *Bolt) onTxCommit(added *txAppends) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !added.applied {
		s.applyPendingLocked(added.last)
	}
}

// applyPendingLocked adds the pending messages up to last, which are committed, to the state.
func (s *Bolt) applyPendingLocked(last uint64) {
	n := 0
	for n < len(s.pending) && s.pending[n].last <= last {
		s.applyTxLocked(s.pending[n])
		n++
	}
	s.pending = slices.Delete(s.pending, 0, n)
}

func (s *Bolt) applyTxLocked(added *txAppends) {
	l := s.state.current()
	for _, m := range added.messages {
		if m.seq != l.last+1 {
			s.failLocked(fmt.Errorf("message %d follows %d: the application has changed the bucket", m.seq, l.last))
			return
		}
		s.state.append(l, 0, m.size, m.ms)
	}
	added.applied = true
	s.signalAppended()
}

// fitsTxLocked reports whether there is room for a message in addition to the pending ones.
func (s *Bolt) fitsTxLocked(size int) bool {
	n, bytes := 0, int64(size)
	for _, added := range s.pending {
		n += len(added.messages)
		bytes += added.bytes
	}
	return s.state.fitsWith(n, bytes)
}
