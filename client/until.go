package client

import (
	"context"
	"sync"
	"sync/atomic"
)

// An untilClosed is the context of one call that also ends when the client is closed. It connects
// the two contexts only when a caller asks for Done. Most calls do not, and cost nothing. Later
// calls reuse it.
type untilClosed struct {
	context.Context // context of the caller
	client          context.Context

	untie atomic.Pointer[func()] // nil: Done was not called yet; set with mu held

	mu   sync.Mutex
	tied context.Context // nil: Done was not called yet; guarded by mu
}

// until returns a context that also ends when the client is closed. Pass it to over after use.
func (c *Client) until(ctx context.Context) context.Context {
	if ctx.Done() == nil {
		return c.ctx
	}
	u := c.untils.Get().(*untilClosed)
	u.Context = ctx
	return u
}

// over ends the use of a context that until returned.
func (c *Client) over(ctx context.Context) {
	u, own := ctx.(*untilClosed)
	if !own {
		return
	}
	if untie := u.untie.Load(); untie != nil {
		(*untie)()
		return // do not reuse it: a goroutine that waits on it may still read it
	}
	u.Context = nil
	c.untils.Put(u)
}

// Done implements context.Context.
func (u *untilClosed) Done() <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.tied == nil {
		ctx, cancel := context.WithCancel(u.Context)
		stop := context.AfterFunc(u.client, cancel)
		untie := func() { stop(); cancel() }
		u.tied = ctx
		u.untie.Store(&untie)
	}
	return u.tied.Done()
}

// Err implements context.Context.
func (u *untilClosed) Err() error {
	if err := u.Context.Err(); err != nil {
		return err
	}
	return u.client.Err()
}
