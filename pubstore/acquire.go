package pubstore

import (
	"errors"
	"sync"
)

// ErrInUse reports a store that another client of this process uses.
var ErrInUse = errors.New("publish store is in use by another client of this process")

// Acquire takes the store for one client, until release is called; more than
// one call of release does nothing. While it is taken the error is ErrInUse:
// two clients on one store would send its messages twice and push each other
// out (R11). Dial calls it, on every store that has such a method.
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

// A holder is one Acquire.
type holder struct{}
