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

// A trial is what the demonstration does to the application: it has the process
// die, and transactions be given up. It isn't safe for concurrent use.
type trial struct {
	death
	attempts int  // transactions that came as far as their end
	gaveUp   bool // the last one

	begun time.Time     // the last commit
	took  time.Duration // the last commit that came through
}

// pass has the process die here if it is to.
func (t *trial) pass(s step) {
	if s != t.step {
		return
	}
	t.passage--
	switch {
	case t.passage != 0:
	case s == committing:
		time.AfterFunc(t.took*time.Duration(t.percent)/100, t.die)
	default:
		t.die()
	}
}

// beginCommit is passed before a commit, endCommit behind it.
func (t *trial) beginCommit() {
	t.begun = time.Now()
	t.pass(committing)
}

func (t *trial) endCommit() {
	t.took = time.Since(t.begun)
	t.pass(committed)
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

// A triedOutbox is the publish store as the application uses it.
type triedOutbox struct {
	*pubstore.Bolt
	*trial
}

func (o triedOutbox) AppendTx(tx *bbolt.Tx, topic string, body []byte) (uint64, error) {
	o.pass(booked)
	tx.OnCommit(o.endCommit) // ahead of the stores' own
	sequence, err := o.Bolt.AppendTx(tx, topic, body)
	if err != nil {
		return 0, err
	}
	tx.OnCommit(func() { o.pass(woken) }) // behind the store's own
	o.pass(appended)
	return sequence, nil
}

// triedMarks are the bookmark store as the application uses it.
type triedMarks struct {
	*bookmarkstore.Bolt
	*trial
}

func (m triedMarks) DiscardTx(tx *bbolt.Tx, mark bookmarkstore.Mark) error {
	if err := m.Bolt.DiscardTx(tx, mark); err != nil {
		return err
	}
	m.pass(discarded)
	if err := m.giveUp(); err != nil {
		return err
	}
	tx.OnCommit(func() { m.pass(told) }) // behind the stores' own
	m.beginCommit()
	return nil
}
