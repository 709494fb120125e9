package pubstore

import (
	"errors"
	"sync"
)

// ErrInUse means that another client of this process uses the store.
var ErrInUse = errors.New("publish store is in use by another client of this process")

// Acquire implements [Store].
func (d *desk) Acquire() (release func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holder != nil {
		return nil, ErrInUse
	}
	d.holder = new(holder)
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.holder = nil
	}), nil
}

// A holder identifies one Acquire.
type holder struct{}
