package bookmarkstore

import (
	"context"
	"fmt"
	"sync"
)

// maxID is the most bytes that a subscription id may have.
const maxID = 256

// checkID tells what is wrong with a subscription id.
func checkID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("bookmark store: subscription id is empty")
	case len(id) > maxID:
		return fmt.Errorf("bookmark store: subscription id %.32q... has %d bytes, the most is %d", id, len(id), maxID)
	}
	return nil
}

// A registry is what the two stores have in common: the places, the group of
// servers, and how the store ended.
type registry struct {
	mu     sync.Mutex
	places map[string]*place // guarded by mu
	order  []*place          // the same in order of their making, only appended to; guarded by mu
	failed error             // *FailedError; guarded by mu
	closed bool              // guarded by mu
	met    met               // guarded by mu
}

// usable returns why the store takes no more calls.
func (r *registry) usable() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.usableLocked()
}

func (r *registry) usableLocked() error {
	if r.failed == nil && r.closed {
		return ErrClosed
	}
	return r.failed
}

// known returns the place of id, adding fresh if there is none; nil: neither.
func (r *registry) known(id string, fresh *place) (*place, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.usableLocked(); err != nil {
		return nil, err
	}
	p := r.places[id]
	if p == nil && fresh != nil {
		p = fresh
		r.places[id] = p
		r.order = append(r.order, p)
	}
	return p, nil
}

// end closes the store for its callers: no place takes anything more.
func (r *registry) end() error {
	r.mu.Lock()
	closed, places := r.closed, r.order
	r.closed = true
	r.mu.Unlock()

	if closed {
		return ErrClosed
	}
	for _, p := range places {
		p.end(ErrClosed)
	}
	return nil
}

// A place is what a store holds of one subscription id as long as it is
// open, taken by a caller or not.
type place struct {
	id string
	b  *Bolt // writes what changes; nil: nobody does

	mu    sync.Mutex
	query Query         // guarded by mu
	w     window        // guarded by mu
	owner *subscription // the one that took the id last; guarded by mu
	inUse bool          // by owner; guarded by mu
	// generation counts how often everything was forgotten, so that nothing
	// of before is taken for what came after; guarded by mu.
	generation uint64
	changes    []change // scratch; guarded by mu
	broken     error    // why the store takes nothing more; guarded by mu
	unsaved             // guarded by mu
}

// end makes every later change return err. The first reason stays.
func (p *place) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken == nil {
		p.broken = err
	}
}

// unlock gives up mu. If the place has changed, there is one more change to become
// durable, and the committer learns of it.
func (p *place) unlock(changed bool) {
	if changed = changed && p.b != nil; changed {
		p.b.changes.Add(1)
	}
	p.mu.Unlock()
	if changed {
		p.b.signal()
	}
}

// take gives the id to a new owner, for whom a new life begins. If what was kept
// belongs to another query it is forgotten.
func (p *place) take(q Query) (Subscription, error) {
	p.mu.Lock()
	err := p.broken
	if p.inUse && err == nil {
		err = fmt.Errorf("bookmark store: subscription %q: %w", p.id, ErrInUse)
	}
	if err != nil {
		p.mu.Unlock()
		return nil, err
	}
	other := p.query != q
	if other {
		p.forgetLocked()
		p.query = q
	}
	p.w.newLife()
	s := &subscription{p}
	p.owner, p.inUse = s, true
	p.unlock(other)
	return s, nil
}

// forgetLocked drops the notes of what the window forgets, too: the new
// generation makes the next commit drop it from the database.
func (p *place) forgetLocked() {
	p.w, p.dirty = window{}, nil
	p.generation++
}

// A subscription is a place in the hands of one caller of Store.Subscription.
type subscription struct {
	p *place
}

// ownsLocked reports whether the id was not given to anyone else since.
// After Release it still owns: a late Discard counts until the id is taken.
func (s *subscription) ownsLocked() bool { return s.p.owner == s }

// change does something to the place, unless the store is closed or has failed, or
// Release was called.
func (s *subscription) change(do func(*place)) error {
	p := s.p
	p.mu.Lock()
	err := p.broken
	if err == nil && !(s.ownsLocked() && p.inUse) {
		err = fmt.Errorf("bookmark store: subscription %q: %w", p.id, ErrReleased)
	}
	if err != nil {
		p.mu.Unlock()
		return err
	}
	p.changes = p.changes[:0]
	do(p)
	changed := p.headUnsavedLocked()
	for _, c := range p.changes {
		changed = p.noteLocked(c) || changed
	}
	p.unlock(changed)
	return nil
}

// SetBase implements Subscription. In a Bolt it returns when the base is durable:
// were it lost, a process that dies before its first discard would begin again at
// NOW and miss what it had received.
func (s *subscription) SetBase(base Vector) error {
	err := s.change(func(p *place) { p.changes = p.w.setBase(base, p.changes) })
	if err != nil || s.p.b == nil {
		return err
	}
	return s.p.b.wait(context.Background())
}

// Restart implements Subscription. It is durable at the next commit.
func (s *subscription) Restart() error { return s.change((*place).forgetLocked) }

// Progress implements Subscription. It is durable at the next commit after
// everything received before was discarded.
func (s *subscription) Progress(v Vector) error {
	return s.change(func(p *place) { p.changes = p.w.progress(v, p.changes) })
}

// Forget implements Subscription.
func (s *subscription) Forget(closed Vector) error {
	return s.change(func(p *place) { p.changes = p.w.forget(closed, p.changes) })
}

// Receive implements Subscription. What comes after Release comes again later.
func (s *subscription) Receive(b Bookmark) (fresh bool) {
	var c change
	s.p.mu.Lock()
	if s.ownsLocked() && s.p.inUse {
		fresh, c = s.p.w.receive(b)
	}
	s.p.unlock(s.p.noteLocked(c))
	return fresh
}

// Discard implements Subscription. After the id was taken by another there is
// nothing outstanding here.
func (s *subscription) Discard(b Bookmark) error {
	var c change
	s.p.mu.Lock()
	err := s.p.broken
	if err == nil && s.ownsLocked() {
		c = s.p.w.discard(b)
	}
	s.p.unlock(s.p.noteLocked(c))
	if err == nil && s.p.b != nil && s.p.b.options.SyncAlways {
		err = s.p.b.wait(context.Background())
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
	return s.p.w.waiting
}

// IsOutstanding implements Subscription.
func (s *subscription) IsOutstanding(b Bookmark) bool {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return s.ownsLocked() && s.p.w.outstanding(b)
}

// Release implements Subscription.
func (s *subscription) Release() {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.ownsLocked() {
		s.p.inUse = false
	}
}
