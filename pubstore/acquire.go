package pubstore

import (
	"errors"
	"sync"
)

// ErrInUse means that another client of this process uses the store.
var ErrInUse = errors.New("publish store is in use by another client of this process")

// Acquire implements [Store].
func (d *storeBase) Acquire() (release func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lease != nil {
		return nil, ErrInUse
	}
	d.lease = new(lease)
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.lease = nil
	}), nil
}

// A lease identifies one Acquire.
type lease struct{}
