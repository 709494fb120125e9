package client

import (
	"context"
	"sync"
	"sync/atomic"
)

// A callContext is the context of one call. It also ends when the client is closed. It merges the
// two contexts only when Done is called. Most calls never call Done, and cost nothing. Later calls
// reuse it.
type callContext struct {
	context.Context // context of the caller
	client          context.Context

	release atomic.Pointer[func()] // ends merged; nil: Done was not called yet; set with mu held

	mu     sync.Mutex
	merged context.Context // nil: Done was not called yet; guarded by mu
}

// newCallContext returns a context that also ends when the client is closed. Pass it to
// releaseCallContext after use.
func (c *Client) newCallContext(ctx context.Context) context.Context {
	if ctx.Done() == nil {
		return c.ctx
	}
	cc := c.callContexts.Get().(*callContext)
	cc.Context = ctx
	return cc
}

// releaseCallContext ends the use of a context that newCallContext returned.
func (c *Client) releaseCallContext(ctx context.Context) {
	cc, ok := ctx.(*callContext)
	if !ok {
		return
	}
	if release := cc.release.Load(); release != nil {
		(*release)()
		return // do not reuse it: a goroutine that waits on it may still read it
	}
	cc.Context = nil
	c.callContexts.Put(cc)
}

// Done implements context.Context.
func (cc *callContext) Done() <-chan struct{} {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if cc.merged == nil {
		ctx, cancel := context.WithCancel(cc.Context)
		stop := context.AfterFunc(cc.client, cancel)
		release := func() { stop(); cancel() }
		cc.merged = ctx
		cc.release.Store(&release)
	}
	return cc.merged.Done()
}

// Err implements context.Context.
func (cc *callContext) Err() error {
	if err := cc.Context.Err(); err != nil {
		return err
	}
	return cc.client.Err()
}
