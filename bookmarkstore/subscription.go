package bookmarkstore

import (
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

// A place is what a store holds of one subscription id as long as it is
// open, taken by a caller or not.
type place struct {
	id string

	mu    sync.Mutex
	query Query   // guarded by mu
	w     window  // guarded by mu
	owner *handle // the one that took the id last; guarded by mu
	inUse bool    // by owner; guarded by mu
	// generation counts how often everything was forgotten, so that nothing
	// of before is taken for what came after; guarded by mu.
	generation uint64
	changes    []change // scratch; guarded by mu
	broken     error    // why the store takes nothing more; guarded by mu
}

// end makes every later change return err. The first reason stays.
func (p *place) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken == nil {
		p.broken = err
	}
}

// takeLocked gives the id to a new owner, for whom a new life begins. It
// reports whether what was kept belonged to another query and is forgotten.
func (p *place) takeLocked(h *handle, q Query) (forgot bool, err error) {
	if p.inUse {
		return false, fmt.Errorf("bookmark store: subscription %q: %w", p.id, ErrInUse)
	}
	if p.query != q {
		p.forgetLocked()
		p.query = q
		forgot = true
	}
	p.w.newLife()
	p.owner, p.inUse = h, true
	return forgot, nil
}

func (p *place) forgetLocked() {
	p.w = window{}
	p.generation++
}

// A handle is a place in the hands of one caller of Store.Subscription. It
// has the part of Subscription that is the same for every store.
type handle struct {
	p *place
}

// ownsLocked reports whether the id was not given to anyone else since.
// After Release it still owns: a late Discard counts until the id is taken.
func (h *handle) ownsLocked() bool { return h.p.owner == h }

// changeableLocked returns why the subscription cannot be changed: the store
// is closed or has failed, or Release was called.
func (h *handle) changeableLocked() error {
	if h.p.broken != nil {
		return h.p.broken
	}
	if !h.ownsLocked() || !h.p.inUse {
		return fmt.Errorf("bookmark store: subscription %q: %w", h.p.id, ErrReleased)
	}
	return nil
}

// Received implements Subscription.
func (h *handle) Received() (Vector, bool) {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	return h.p.w.receivedVector()
}

// OutOfOrder implements Subscription.
func (h *handle) OutOfOrder() map[uint64][]uint64 {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	return h.p.w.outOfOrder()
}

// Discarded implements Subscription.
func (h *handle) Discarded() (Vector, bool) {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	return h.p.w.discardedVector()
}

// receiveLocked passes b to the window; after Release it comes again later.
func (h *handle) receiveLocked(b Bookmark) (bool, change) {
	if !h.ownsLocked() || !h.p.inUse {
		return false, change{}
	}
	return h.p.w.receive(b)
}

// discardLocked passes b to the window. After the id was taken by another
// there is nothing outstanding here.
func (h *handle) discardLocked(b Bookmark) (change, error) {
	if h.p.broken != nil || !h.ownsLocked() {
		return change{}, h.p.broken
	}
	return h.p.w.discard(b), nil
}

// Outstanding implements Subscription.
func (h *handle) Outstanding() int {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	if !h.ownsLocked() {
		return 0
	}
	return h.p.w.waiting
}

// IsOutstanding implements Subscription.
func (h *handle) IsOutstanding(b Bookmark) bool {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	return h.ownsLocked() && h.p.w.outstanding(b)
}

// Release implements Subscription.
func (h *handle) Release() {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	if h.ownsLocked() {
		h.p.inUse = false
	}
}
