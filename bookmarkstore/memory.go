package bookmarkstore

import (
	"cmp"
	"context"
)

// A Memory is a Store that lasts as long as the process. A client that reconnects misses nothing
// and repeats nothing. A client that restarts begins as a new subscriber.
type Memory struct {
	storeBase
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{storeBase{places: make(map[string]*place)}} }

// OpenSubscription implements Store.
func (m *Memory) OpenSubscription(id string, q Query) (Subscription, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	p, err := m.findOrAdd(id, &place{id: id, query: q})
	if err != nil {
		return nil, err
	}
	return p.acquire(q)
}

// Sync implements Store. There is no disk to wait for.
func (m *Memory) Sync(ctx context.Context) error { return cmp.Or(m.checkOpen(), ctx.Err()) }

// Close implements Store. All places are lost. The error is always nil.
func (m *Memory) Close() error {
	m.closePlaces()
	return nil
}
