package bookmarkstore

import (
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A txDiscards holds the discards of one open transaction of the application. If the transaction
// commits, they are in the database and are applied to the windows. Otherwise they are dropped.
type txDiscards struct {
	tx     *bbolt.Tx
	places []*txPlace // in order of their first discard
}

// A txPlace is the part of a txDiscards for one subscription.
type txPlace struct {
	p           *place
	generation  uint64
	head        head // as the transaction has written it, if headWritten
	headWritten bool
	publishers  map[uint64]*txPublisher
}

// A txPublisher is the part of a txPlace for one publisher.
type txPublisher struct {
	id        uint64
	discarded uint64   // the contiguous point within the transaction
	sequences []uint64 // discarded in the transaction, ascending
}

// DiscardTx discards m in a write transaction of the application on the same database. If the
// transaction commits, the discard is durable together with the application's own data. If it
// rolls back, nothing has changed and the message is still outstanding. A transaction may have
// any number of discards, in any order.
//
// Unlike Discard, DiscardTx returns ErrNotOutstanding for a message that is not outstanding. Roll
// back the transaction then: its work for the message was done before, or will be done when the
// message is delivered again. This also covers an earlier commit that returned an error and took
// effect nevertheless. A MessageRef with the zero Bookmark changes nothing.
//
// The subscription must have been opened with OpenSubscription since the store was opened.
func (b *Bolt) DiscardTx(tx *bbolt.Tx, m MessageRef) error {
	if err := b.discardTx(tx, m); err != nil {
		return fmt.Errorf("bookmark store: discard %d|%d| of subscription %q in a transaction: %w",
			m.Bookmark.Publisher, m.Bookmark.Sequence, m.Subscription, err)
	}
	return nil
}

func (b *Bolt) discardTx(tx *bbolt.Tx, m MessageRef) error {
	if tx.DB() != b.db {
		return fmt.Errorf("the transaction is of another database than %s", b.path)
	}
	if !tx.Writable() {
		return berrors.ErrTxNotWritable
	}
	p, t, err := b.txDiscardsOf(tx, m.Subscription)
	if err != nil || m.Bookmark.IsZero() {
		return err
	}
	subscriptions, err := b.subscriptions(tx)
	if err != nil {
		return err
	}
	stored, err := b.storedStateOf(subscriptions, m)
	if err != nil {
		return err
	}
	p.mu.Lock()
	w, err := t.discardLocked(p, m.Bookmark, stored)
	p.mu.Unlock()
	if err != nil || failpoint.On(failpoint.TxDiscardInMemory) {
		return err
	}
	return b.writePlace(subscriptions, w)
}

// A storedState is the stored state of one message.
type storedState struct {
	generation uint64 // of the subscription
	discarded  bool
}

// storedStateOf returns the stored state of a message. The database may be ahead of the window: the
// OnCommit of the last transaction may not have run yet, or its Commit may have failed after the
// decisive write.
func (b *Bolt) storedStateOf(subscriptions *bbolt.Bucket, m MessageRef) (storedState, error) {
	bucket := subscriptions.Bucket([]byte(m.Subscription))
	if bucket == nil {
		return storedState{}, nil
	}
	h, err := b.headOf(bucket, m.Subscription)
	if err != nil {
		return storedState{}, err
	}
	through, err := b.discardedOf(bucket, m.Subscription, discardedKey(m.Bookmark.Publisher))
	if err != nil {
		return storedState{}, err
	}
	discarded := m.Bookmark.Sequence <= through || bucket.Get(outOfOrderKey(m.Bookmark)) != nil
	return storedState{h.generation, discarded}, nil
}

// txDiscardsOf returns the place of id and the discards of tx so far.
func (b *Bolt) txDiscardsOf(tx *bbolt.Tx, id string) (*place, *txDiscards, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.checkOpenLocked(); err != nil {
		return nil, nil, err
	}
	p := b.places[id]
	if p == nil {
		return nil, nil, fmt.Errorf("the subscription was not opened in this store")
	}
	// A database has one write transaction at a time, so a new one means that the last one has
	// ended. If it committed, its OnCommit applies the discards. If not, they are dropped here.
	if b.tx == nil || b.tx.tx != tx {
		t := &txDiscards{tx: tx}
		tx.OnCommit(func() { b.applyCommitted(t) })
		b.tx = t
	}
	return p, b.tx, nil
}

// discardLocked adds a discard to the transaction and returns the changes to write for it. The
// window does not change yet.
func (t *txDiscards) discardLocked(p *place, b Bookmark, stored storedState) (placeWrite, error) {
	if p.endErr != nil {
		return placeWrite{}, p.endErr
	}
	if !p.w.isOutstanding(b) || stored.discarded && stored.generation == p.generation {
		if failpoint.On(failpoint.TxTwice) {
			return placeWrite{p: p, head: p.headLocked()}, nil
		}
		return placeWrite{}, ErrNotOutstanding
	}
	tp := t.place(p)
	pub := tp.publishers[b.Publisher]
	if pub == nil {
		pub = &txPublisher{id: b.Publisher}
		tp.publishers[b.Publisher] = pub
	}
	i, found := slices.BinarySearch(pub.sequences, b.Sequence)
	if found {
		return placeWrite{}, ErrNotOutstanding
	}
	pub.sequences = slices.Insert(pub.sequences, i, b.Sequence)
	pub.discarded = p.w.publisher(b.Publisher).reach(pub.discarded, pub.sequences)
	return tp.writeLocked(pub, b.Sequence), nil
}

// place returns the txPlace for p. If the place was reset within the transaction, it is a new one.
func (t *txDiscards) place(p *place) *txPlace {
	for _, tp := range t.places {
		if tp.p == p && tp.generation == p.generation {
			return tp
		}
	}
	tp := &txPlace{p: p, generation: p.generation, publishers: make(map[uint64]*txPublisher)}
	t.places = append(t.places, tp)
	return tp
}

// writeLocked returns the changes that the transaction has to write for a discard of pub. If the
// stored head is out of date, these are all unwritten changes of the place: a discard must not be
// durable without the base below it.
func (tp *txPlace) writeLocked(pub *txPublisher, sequence uint64) placeWrite {
	p := tp.p
	w := placeWrite{p: p, head: p.headLocked()}
	if p.headChangedLocked() && !(tp.headWritten && tp.head == w.head) {
		w, _ = p.collectLocked()
		tp.head, tp.headWritten = w.head, true
	}
	discard := publisherWrite{publisher: pub.id, discarded: pub.discarded, sweep: true}
	if sequence > pub.discarded {
		discard.outOfOrder = []uint64{sequence}
	}
	w.publishers = append(w.publishers, discard)
	return w
}

// applyCommitted applies the committed discards of a transaction to the windows.
func (b *Bolt) applyCommitted(t *txDiscards) {
	for _, tp := range t.places {
		tp.p.mu.Lock()
		tp.p.unlockAndSignal(tp.applyCommittedLocked())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tx == t {
		b.tx = nil
	}
}

// applyCommittedLocked applies the committed discards to the window of the place. It reports
// whether there is more to write now: a discard outside of the transaction may have become
// contiguous because of one inside.
func (tp *txPlace) applyCommittedLocked() bool {
	p := tp.p
	if p.endErr != nil || p.generation != tp.generation {
		return false // reset since then: the next commit removes these discards, too
	}
	if tp.headWritten {
		p.headWrittenLocked(tp.head)
	}
	changed := false
	for _, id := range slices.Sorted(maps.Keys(tp.publishers)) {
		pub := tp.publishers[id]
		for _, sequence := range pub.sequences {
			b := Bookmark{Publisher: id, Sequence: sequence}
			c := p.w.discard(b)
			if c.none() && sequence > p.w.publisher(id).received {
				p.w.addOutOfOrder(b) // the id was acquired again in the meantime, and b will be delivered again
			}
			p.w.publisher(id).storedOutOfOrder = true
			if c.discarded > pub.discarded {
				changed = p.addChangeLocked(c) || changed
			}
		}
	}
	return changed
}
