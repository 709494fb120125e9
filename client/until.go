package client

import (
	"context"
	"sync"
	"sync/atomic"
)

// An untilClosed is the context of one call, which also ends when the client is
// closed. The two are tied together only when somebody waits for that: most
// calls don't, and cost nothing. It is used again by later calls.
type untilClosed struct {
	context.Context // the caller's
	client          context.Context

	untie atomic.Pointer[func()] // nil: nobody has asked for Done; set with mu held

	mu   sync.Mutex
	tied context.Context // nil: as above; guarded by mu
}

// until returns a context that also ends when the client is closed. It is given
// back to over.
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
		return // who waits on it may still look at it
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
