package bookmarkstore

import (
	"context"
	"fmt"
	"sync"
)

// maxID is the maximum length of a subscription id in bytes.
const maxID = 256

// checkID returns an error if a subscription id is invalid.
func checkID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("bookmark store: subscription id is empty")
	case len(id) > maxID:
		return fmt.Errorf("bookmark store: subscription id %.32q... has %d bytes: the limit is %d", id, len(id), maxID)
	}
	return nil
}

// A storeBase is the common part of the two stores: the places, the group of servers, and the
// state of the store.
type storeBase struct {
	mu     sync.Mutex
	places map[string]*place // guarded by mu
	order  []*place          // all places in order of creation, append-only; guarded by mu
	failed error             // *FailedError; guarded by mu
	closed bool              // guarded by mu
	group  serverGroup       // guarded by mu
}

// checkOpen returns an error if the store is closed or failed.
func (b *storeBase) checkOpen() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.checkOpenLocked()
}

func (b *storeBase) checkOpenLocked() error {
	if b.failed == nil && b.closed {
		return ErrClosed
	}
	return b.failed
}

// findOrAdd returns the place of id. If there is none, it adds newPlace, unless that is nil.
func (b *storeBase) findOrAdd(id string, newPlace *place) (*place, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.checkOpenLocked(); err != nil {
		return nil, err
	}
	p := b.places[id]
	if p == nil && newPlace != nil {
		p = newPlace
		b.places[id] = p
		b.order = append(b.order, p)
	}
	return p, nil
}

// closePlaces marks the store as closed and makes all places refuse further changes.
func (b *storeBase) closePlaces() {
	b.mu.Lock()
	places := b.order
	b.closed = true
	b.mu.Unlock()
	for _, p := range places {
		p.setEndErr(ErrClosed)
	}
}

// A place is the state of one subscription id in an open store, whether it is in use or not.
type place struct {
	id string
	b  *Bolt // writes the changes; nil in a Memory

	mu    sync.Mutex
	query Query         // guarded by mu
	w     window        // guarded by mu
	owner *subscription // the last one that acquired the id; guarded by mu
	inUse bool          // by owner; guarded by mu
	// generation counts how often the place was reset. It separates the changes before a reset from
	// those after it; guarded by mu.
	generation   uint64
	changes      []change // scratch; guarded by mu
	endErr       error    // reason to refuse all further changes; guarded by mu
	placeChanges          // guarded by mu
}

// setEndErr makes every later change return err. The first error stays.
func (p *place) setEndErr(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.endErr == nil {
		p.endErr = err
	}
}

// unlockAndSignal unlocks mu. If the place has changed, it counts one more change for the committer
// and signals the committer.
func (p *place) unlockAndSignal(changed bool) {
	if changed = changed && p.b != nil; changed {
		p.b.changes.Add(1)
	}
	p.mu.Unlock()
	if changed {
		p.b.signalChange()
	}
}

// acquire gives the id to a new owner, which starts at the discarded points. If the place has
// another query, it is reset.
func (p *place) acquire(q Query) (Subscription, error) {
	p.mu.Lock()
	err := p.endErr
	if p.inUse && err == nil {
		err = fmt.Errorf("bookmark store: subscription %q: %w", p.id, ErrInUse)
	}
	if err != nil {
		p.mu.Unlock()
		return nil, err
	}
	forgotten := p.query != q
	if forgotten {
		p.resetLocked()
		p.query = q
	}
	p.w.rewind()
	s := &subscription{p}
	p.owner, p.inUse = s, true
	p.unlockAndSignal(forgotten)
	return s, nil
}

// resetLocked drops the window and its unwritten changes. Because of the new generation the next
// commit removes the old values from the database.
func (p *place) resetLocked() {
	p.w, p.dirty = window{}, nil
	p.generation++
}

// A subscription is a place in use by one caller of Store.OpenSubscription.
type subscription struct {
	p *place
}

// ownsLocked reports whether no later caller has acquired the id. It stays true after Release: a
// late Discard counts until the id is acquired again.
func (s *subscription) ownsLocked() bool { return s.p.owner == s }

// change calls do with the place, unless the store is closed or failed or the subscription is
// released.
func (s *subscription) change(do func(*place)) error {
	p := s.p
	p.mu.Lock()
	err := p.endErr
	if err == nil && !(s.ownsLocked() && p.inUse) {
		err = fmt.Errorf("bookmark store: subscription %q: %w", p.id, ErrReleased)
	}
	if err != nil {
		p.mu.Unlock()
		return err
	}
	p.changes = p.changes[:0]
	do(p)
	changed := p.headChangedLocked()
	for _, c := range p.changes {
		changed = p.addChangeLocked(c) || changed
	}
	p.unlockAndSignal(changed)
	return nil
}

// SetBase implements Subscription. In a Bolt it returns when the base is durable. A subscription
// without a stored base would start at NOW again, and miss messages: after a failover, and in the
// next process.
func (s *subscription) SetBase(base Vector) error {
	err := s.change(func(p *place) { p.changes = p.w.setBase(base, p.changes) })
	if err != nil || s.p.b == nil {
		return err
	}
	return s.p.b.awaitDurable(context.Background())
}

// Reset implements Subscription. It becomes durable at the next commit.
func (s *subscription) Reset() error { return s.change((*place).resetLocked) }

// ReceiveMark implements Subscription. It becomes durable at the first commit after everything
// received before it is discarded.
func (s *subscription) ReceiveMark(v Vector) error {
	return s.change(func(p *place) { p.changes = p.w.receiveMarks(v, p.changes) })
}

// ForgetPublishers implements Subscription.
func (s *subscription) ForgetPublishers(closed Vector) error {
	return s.change(func(p *place) { p.changes = p.w.forgetPublishers(closed, p.changes) })
}

// Receive implements Subscription. After Release it returns false: the message is delivered again
// later.
func (s *subscription) Receive(b Bookmark) (fresh bool) {
	var c change
	s.p.mu.Lock()
	if s.ownsLocked() && s.p.inUse {
		fresh, c = s.p.w.receive(b)
	}
	s.p.unlockAndSignal(s.p.addChangeLocked(c))
	return fresh
}

// Discard implements Subscription. Once another caller has acquired the id, it does nothing.
func (s *subscription) Discard(b Bookmark) error {
	var c change
	s.p.mu.Lock()
	err := s.p.endErr
	if err == nil && s.ownsLocked() {
		c = s.p.w.discard(b)
	}
	s.p.unlockAndSignal(s.p.addChangeLocked(c))
	if err == nil && s.p.b != nil && s.p.b.options.SyncAlways {
		err = s.p.b.awaitDurable(context.Background())
	}
	return err
}

// Received implements Subscription.
func (s *subscription) Received() (Vector, bool) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return s.p.w.receivedVector()
}

// OutOfOrder implements Subscription.
func (s *subscription) OutOfOrder() map[uint64][]uint64 {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return s.p.w.outOfOrder()
}

// Discarded implements Subscription.
func (s *subscription) Discarded() (Vector, bool) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return s.p.w.discardedVector()
}

// Outstanding implements Subscription.
func (s *subscription) Outstanding() int {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if !s.ownsLocked() {
		return 0
	}
	return s.p.w.outstanding
}

// IsOutstanding implements Subscription.
func (s *subscription) IsOutstanding(b Bookmark) bool {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return s.ownsLocked() && s.p.w.isOutstanding(b)
}

// Release implements Subscription.
func (s *subscription) Release() {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.ownsLocked() {
		s.p.inUse = false
	}
}
