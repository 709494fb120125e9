package transaction

import (
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A trial kills the process of the application at a step of its work and rolls some
// transactions back. It also reports the progress of the application on standard
// output. It isn't safe for concurrent use.
type trial struct {
	death
	attempts int  // transactions that came as far as their end
	gaveUp   bool // the last one

	commitBegun time.Time     // the last commit
	commitTook  time.Duration // the last commit that came through
}

// received says that an order was handed over.
func (t *trial) received(order []byte) {
	fmt.Printf("order %s\n", order)
	t.reach(received)
}

// done says that the order's transaction has committed. If awaitAck is true, the
// application waits until the invoice is acknowledged, and reaches that step then.
func (t *trial) done() (awaitAck bool) {
	fmt.Println("done")
	return t.step == settled
}

// full says that a transaction has found the publish store full.
func (t *trial) full() { fmt.Println("full") }

// rolledBack reports whether an error comes from the trial, which has rolled a
// transaction back. The transaction is repeated then.
func (t *trial) rolledBack(err error) bool {
	if !errors.Is(err, errGivenUp) {
		return false
	}
	t.reach(rolledBack)
	return true
}

// unexpected reports an event that must not happen.
func (t *trial) unexpected(err error) { fmt.Println("unexpected", err) }

// reach has the process die here if it is to.
func (t *trial) reach(s step) {
	if s != t.step {
		return
	}
	t.occurrence--
	switch {
	case t.occurrence != 0:
	case s == committing:
		time.AfterFunc(t.commitTook*time.Duration(t.percent)/100, t.die)
	default:
		t.die()
	}
}

// beginCommit is passed before a commit, endCommit after it.
func (t *trial) beginCommit() {
	t.commitBegun = time.Now()
	t.reach(committing)
}

func (t *trial) endCommit() {
	t.commitTook = time.Since(t.commitBegun)
	t.reach(committed)
}

// die is kill -9, by its own hand.
func (t *trial) die() {
	fmt.Println("dies")
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {} // until it is dead
}

// errGivenUp rolls a transaction back.
var errGivenUp = errors.New("the application changes its mind")

// giveUp returns errGivenUp for every fifth transaction; the next one goes through.
func (t *trial) giveUp() error {
	t.attempts++
	t.gaveUp = !t.gaveUp && t.attempts%5 == 0
	if t.gaveUp {
		return errGivenUp
	}
	return nil
}

// A TrialOutbox is the publish store as the application uses it.
type TrialOutbox struct {
	*pubstore.Bolt
	trial *trial
}

// AppendTx implements the publish store.
func (o *TrialOutbox) AppendTx(tx *bbolt.Tx, topic string, body []byte) (uint64, error) {
	o.trial.reach(booked)
	tx.OnCommit(o.trial.endCommit) // ahead of the stores' own
	sequence, err := o.Bolt.AppendTx(tx, topic, body)
	if err != nil {
		return 0, err
	}
	tx.OnCommit(func() { o.trial.reach(storeNotified) }) // after the store's own
	o.trial.reach(appended)
	return sequence, nil
}

// TrialBookmarks are the bookmark store as the application uses it.
type TrialBookmarks struct {
	*bookmarkstore.Bolt
	trial *trial
}

// DiscardTx implements the bookmark store.
func (m *TrialBookmarks) DiscardTx(tx *bbolt.Tx, mark bookmarkstore.MessageRef) error {
	if err := m.Bolt.DiscardTx(tx, mark); err != nil {
		return err
	}
	m.trial.reach(discarded)
	if err := m.trial.giveUp(); err != nil {
		return err
	}
	tx.OnCommit(func() { m.trial.reach(bothNotified) }) // after the stores' own
	m.trial.beginCommit()
	return nil
}
