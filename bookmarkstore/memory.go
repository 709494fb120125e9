package bookmarkstore

import (
	"context"
	"sync"
)

// A Memory is a Store that lasts as long as the process: a client that
// reconnects misses nothing and repeats nothing, one that restarts begins as
// if it had never been there.
type Memory struct {
	mu     sync.Mutex
	places map[string]*place // guarded by mu
	closed bool              // guarded by mu
	met    met               // guarded by mu
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{places: make(map[string]*place)} }

// Subscription implements Store.
func (m *Memory) Subscription(id string, q Query) (Subscription, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	p, err := m.place(id, q)
	if err != nil {
		return nil, err
	}
	s := &memorySubscription{handle{p}}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.takeLocked(&s.handle, q); err != nil {
		return nil, err
	}
	return s, nil
}

func (m *Memory) place(id string, q Query) (*place, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	p := m.places[id]
	if p == nil {
		p = &place{id: id, query: q}
		m.places[id] = p
	}
	return p, nil
}

// Sync implements Store. There is no disk to wait for.
func (m *Memory) Sync(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	return ctx.Err()
}

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	places := m.places
	closed := m.closed
	m.places, m.closed = nil, true
	m.mu.Unlock()

	if closed {
		return ErrClosed
	}
	for _, p := range places {
		p.end(ErrClosed)
	}
	return nil
}

// A memorySubscription is a place in a Memory: nothing has to be written.
type memorySubscription struct {
	handle
}

// SetBase implements Subscription.
func (s *memorySubscription) SetBase(base Vector) error {
	return s.change(func(p *place) { p.changes = p.w.setBase(base, p.changes[:0]) })
}

// Restart implements Subscription.
func (s *memorySubscription) Restart() error {
	return s.change((*place).forgetLocked)
}

// Progress implements Subscription.
func (s *memorySubscription) Progress(v Vector) error {
	return s.change(func(p *place) { p.changes = p.w.progress(v, p.changes[:0]) })
}

// Forget implements Subscription.
func (s *memorySubscription) Forget(closed Vector) error {
	return s.change(func(p *place) { p.changes = p.w.forget(closed, p.changes[:0]) })
}

func (s *memorySubscription) change(do func(*place)) error {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if err := s.changeableLocked(); err != nil {
		return err
	}
	do(s.p)
	return nil
}

// Receive implements Subscription.
func (s *memorySubscription) Receive(b Bookmark) bool {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	fresh, _ := s.receiveLocked(b)
	return fresh
}

// Discard implements Subscription.
func (s *memorySubscription) Discard(b Bookmark) error {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	_, err := s.discardLocked(b)
	return err
}
