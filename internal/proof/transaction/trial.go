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

// A Trial is what the demonstration does to the application: it has the process
// die, and transactions be given up; and what the application says of itself,
// on standard output. It isn't safe for concurrent use.
type Trial struct {
	death
	attempts int  // transactions that came as far as their end
	gaveUp   bool // the last one

	commitBegun time.Time     // the last commit
	commitTook  time.Duration // the last commit that came through
}

// Opened says that the stores are open.
func (t *Trial) Opened() { t.reach(opened) }

// Connected says that the client has logged on.
func (t *Trial) Connected() { t.reach(connected) }

// Subscribed says that the subscription has been answered.
func (t *Trial) Subscribed() { t.reach(subscribed) }

// Received says that an order was handed over.
func (t *Trial) Received(order []byte) {
	fmt.Printf("order %s\n", order)
	t.reach(received)
}

// Done says that the order's transaction has committed. If awaitAck is true, the
// application waits until the invoice is acknowledged, and says Acknowledged.
func (t *Trial) Done() (awaitAck bool) {
	fmt.Println("done")
	return t.step == settled
}

// Acknowledged says that all that was published is.
func (t *Trial) Acknowledged() { t.reach(settled) }

// Full says that a transaction has met a full publish store.
func (t *Trial) Full() { fmt.Println("full") }

// GaveUp reports whether it was the trial that has rolled back a transaction,
// which is to be tried again.
func (t *Trial) GaveUp(err error) bool {
	if !errors.Is(err, errGivenUp) {
		return false
	}
	t.reach(rolledBack)
	return true
}

// Unexpected says what must not happen.
func (t *Trial) Unexpected(err error) { fmt.Println("trouble", err) }

// Outbox returns a publish store that is used under the trial.
func (t *Trial) Outbox(s *pubstore.Bolt) *TrialOutbox { return &TrialOutbox{s, t} }

// Bookmarks returns a bookmark store that is used under the trial.
func (t *Trial) Bookmarks(s *bookmarkstore.Bolt) *TrialBookmarks { return &TrialBookmarks{s, t} }

// reach has the process die here if it is to.
func (t *Trial) reach(s step) {
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

// beginCommit is passed before a commit, endCommit behind it.
func (t *Trial) beginCommit() {
	t.commitBegun = time.Now()
	t.reach(committing)
}

func (t *Trial) endCommit() {
	t.commitTook = time.Since(t.commitBegun)
	t.reach(committed)
}

// die is kill -9, by its own hand.
func (t *Trial) die() {
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
func (t *Trial) giveUp() error {
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
	trial *Trial
}

// AppendTx implements the publish store.
func (o *TrialOutbox) AppendTx(tx *bbolt.Tx, topic string, body []byte) (uint64, error) {
	o.trial.reach(booked)
	tx.OnCommit(o.trial.endCommit) // ahead of the stores' own
	sequence, err := o.Bolt.AppendTx(tx, topic, body)
	if err != nil {
		return 0, err
	}
	tx.OnCommit(func() { o.trial.reach(storeNotified) }) // behind the store's own
	o.trial.reach(appended)
	return sequence, nil
}

// TrialBookmarks are the bookmark store as the application uses it.
type TrialBookmarks struct {
	*bookmarkstore.Bolt
	trial *Trial
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
	tx.OnCommit(func() { m.trial.reach(bothNotified) }) // behind the stores' own
	m.trial.beginCommit()
	return nil
}
