package pubstore

import (
	"errors"
	"sync"
)

// ErrInUse means that another client of this process uses the store.
var ErrInUse = errors.New("publish store is in use by another client of this process")

// Acquire implements [Store].
func (b *storeBase) Acquire() (release func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.endErr != nil {
		return nil, b.endErr
	}
	if b.lease != nil {
		return nil, ErrInUse
	}
	b.lease = new(lease)
	return sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.lease = nil
	}), nil
}

// A lease identifies one call of Acquire.
type lease struct{}
