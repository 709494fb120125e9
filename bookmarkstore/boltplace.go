package bookmarkstore

import (
	"context"
)

// A boltPlace is a place and what of it the database does not have yet.
type boltPlace struct {
	place

	dirty []*publisher // of which something is to be written; guarded by mu
	// savedGeneration and savedBased are what the head in the database
	// says at least; guarded by mu.
	savedGeneration uint64
	savedBased      bool
}

// A note is what is to be written of one publisher, besides its discarded point.
type note struct {
	dirty   bool
	kept    bool     // the database may have out-of-order discards
	left    bool     // it leaves the database
	pending []uint64 // out-of-order discards it does not have
}

func (p *boltPlace) discardedOnDisk(b Bookmark) { p.w.keep(b) }

func (p *boltPlace) outOfOrderOnDisk(b Bookmark) { p.w.keepOutOfOrder(b).kept = true }

// recordLocked notes a change of the window that has to be written.
func (p *boltPlace) recordLocked(c change) {
	n := &c.publisher.note
	n.left = c.left
	if c.added > 0 {
		n.pending = append(n.pending, c.added)
	}
	if !n.dirty {
		n.dirty = true
		p.dirty = append(p.dirty, c.publisher)
	}
}

// forgottenLocked drops the notes of what the window has forgotten. The new
// generation makes the next commit drop it from the database.
func (p *boltPlace) forgottenLocked() { p.dirty = nil }

func (p *boltPlace) headLocked() head {
	return head{generation: p.generation, based: p.w.based, query: p.query}
}

func (p *boltPlace) headUnsavedLocked() bool {
	return p.savedGeneration < p.generation || p.w.based && !p.savedBased
}

// savedLocked notes that h is in the database.
func (p *boltPlace) savedLocked(h head) {
	if h.generation > p.savedGeneration {
		p.savedGeneration, p.savedBased = h.generation, h.based
	} else if h.generation == p.savedGeneration {
		p.savedBased = p.savedBased || h.based
	}
}

// A boltSubscription is a place in a Bolt.
type boltSubscription struct {
	handle
	b  *Bolt
	bp *boltPlace
}

// SetBase implements Subscription. It returns when the base is durable: were
// it lost, a process that dies before its first discard would begin again at
// NOW and miss what it had received.
func (s *boltSubscription) SetBase(base Vector) error {
	changes, err := s.change(func(p *boltPlace) {
		p.changes = p.w.setBase(base, p.changes[:0])
	})
	if err != nil {
		return err
	}
	return s.b.wait(context.Background(), changes)
}

// Restart implements Subscription. It is durable at the next commit.
func (s *boltSubscription) Restart() error {
	_, err := s.change(func(p *boltPlace) {
		p.changes = p.changes[:0]
		p.forgetLocked()
		p.forgottenLocked()
	})
	return err
}

// Progress implements Subscription. It is durable at the next commit after
// everything received before was discarded.
func (s *boltSubscription) Progress(v Vector) error {
	_, err := s.change(func(p *boltPlace) {
		p.changes = p.w.progress(v, p.changes[:0])
	})
	return err
}

// Forget implements Subscription.
func (s *boltSubscription) Forget(closed Vector) error {
	_, err := s.change(func(p *boltPlace) {
		p.changes = p.w.forget(closed, p.changes[:0])
	})
	return err
}

// change does something to the place and returns how many changes there are with it.
func (s *boltSubscription) change(do func(*boltPlace)) (uint64, error) {
	s.p.mu.Lock()
	if err := s.changeableLocked(); err != nil {
		s.p.mu.Unlock()
		return 0, err
	}
	do(s.bp)
	changed := s.bp.headUnsavedLocked() || len(s.bp.changes) > 0
	for _, c := range s.bp.changes {
		s.bp.recordLocked(c)
	}
	if changed {
		s.b.changes.Add(1)
	}
	changes := s.b.changes.Load()
	s.p.mu.Unlock()

	if changed {
		s.b.signal()
	}
	return changes, nil
}

// Receive implements Subscription.
func (s *boltSubscription) Receive(b Bookmark) bool {
	s.p.mu.Lock()
	fresh, c := s.receiveLocked(b)
	s.recordLocked(c)
	s.p.mu.Unlock()

	if !c.none() {
		s.b.signal()
	}
	return fresh
}

// Discard implements Subscription.
func (s *boltSubscription) Discard(b Bookmark) error {
	s.p.mu.Lock()
	c, err := s.discardLocked(b)
	s.recordLocked(c)
	s.p.mu.Unlock()

	if err != nil {
		return err
	}
	if !c.none() {
		s.b.signal()
	}
	if s.b.options.SyncAlways {
		return s.b.wait(context.Background(), s.b.changes.Load())
	}
	return nil
}

// recordLocked counts only what the last commit will still cover, or nobody
// would ever call it durable.
func (s *boltSubscription) recordLocked(c change) {
	if c.none() || s.p.broken != nil {
		return
	}
	s.bp.recordLocked(c)
	s.b.changes.Add(1)
}
