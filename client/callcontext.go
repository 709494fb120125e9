package client

import (
	"context"
	"sync"
	"sync/atomic"
)

// An callContext is the context of one call that also ends when the client is closed. It connects
// the two contexts only when a caller asks for Done. Most calls do not, and cost nothing. Later
// calls reuse it.
type callContext struct {
	context.Context // context of the caller
	client          context.Context

	release atomic.Pointer[func()] // nil: Done was not called yet; set with mu held

	mu     sync.Mutex
	merged context.Context // nil: Done was not called yet; guarded by mu
}

// newCallContext returns a context that also ends when the client is closed. Pass it to over after use.
func (c *Client) newCallContext(ctx context.Context) context.Context {
	if ctx.Done() == nil {
		return c.ctx
	}
	u := c.callContexts.Get().(*callContext)
	u.Context = ctx
	return u
}

// releaseCallContext ends the use of a context that until returned.
func (c *Client) releaseCallContext(ctx context.Context) {
	u, own := ctx.(*callContext)
	if !own {
		return
	}
	if untie := u.release.Load(); untie != nil {
		(*untie)()
		return // do not reuse it: a goroutine that waits on it may still read it
	}
	u.Context = nil
	c.callContexts.Put(u)
}

// Done implements context.Context.
func (u *callContext) Done() <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.merged == nil {
		ctx, cancel := context.WithCancel(u.Context)
		stop := context.AfterFunc(u.client, cancel)
		untie := func() { stop(); cancel() }
		u.merged = ctx
		u.release.Store(&untie)
	}
	return u.merged.Done()
}

// Err implements context.Context.
func (u *callContext) Err() error {
	if err := u.Context.Err(); err != nil {
		return err
	}
	return u.client.Err()
}
