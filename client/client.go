package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nuid"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/logging"
	"github.com/holdfast-mq/holdfast/internal/signal"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A Client publishes and subscribes. It is connected to one server at a time. All methods are safe
// for concurrent use.
type Client struct {
	cfg   Config
	name  string
	store pubstore.Store
	core  *lockedCore

	// ctx ends when the client has to stop. Its cause is the reason.
	ctx    context.Context
	cancel context.CancelCauseFunc

	lifetime
	publishing
	subscribing
	ids              atomic.Uint64 // for command ids
	clearTextWarning sync.Once     // logs that a password is sent in the clear

	events events
	log    eventLog
	stats  clientStats
	group  *group

	mu        sync.Mutex
	draining  bool                     // Drain or Close has begun; guarded by mu
	cn        *conn                    // connection that is logged on, or nil; guarded by mu
	connReady chan struct{}            // closed when cn is set; nil: no waiter; guarded by mu
	subs      map[string]*Subscription // by id; guarded by mu
}

// lifetime is the state for the begin and the end of a client.
type lifetime struct {
	release    func()        // releases the publish store
	firstLogon chan struct{} // closed at the first logon
	finished   chan struct{} // closed when the session goroutine has ended
	pulse      pulse         // for states that may last
}

// publishing is the state for calls of Publish.
type publishing struct {
	maxMessage    atomic.Int64 // limit of the server, in bytes
	maxFromServer atomic.Bool  // the server has stated maxMessage
	plainServer   atomic.Bool  // the last server lacks our extensions
	calls         *calls       // calls of Publish and RenewLife
	messages      sync.Pool    // *pubstore.Message
	waiters       sync.Pool    // *clientcore.Waiter
	callContexts  sync.Pool    // *callContext
}

// subscribing is the state for subscriptions.
type subscribing struct {
	unnamed  atomic.Uint64  // counts subscriptions without an ID
	searches sync.WaitGroup // goroutines of searches
}

// Dial starts a client and returns it after its first logon. It keeps trying until ctx ends. Then
// the error contains the error of ctx and a *ConnectError for every server that was tried,
// including the attempt under way. After Dial has returned, the client reconnects by itself, for
// ever, and ctx has no effect. With Config.StartOffline Dial does not wait.
//
// If another client of this process uses the publish store, the error is pubstore.ErrInUse.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	c, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	go c.run()
	if cfg.StartOffline {
		return c, nil
	}
	select {
	case <-c.firstLogon:
		return c, nil
	case <-ctx.Done():
		err := c.dialError(context.Cause(ctx))
		c.Close()
		return nil, err
	case <-c.finished:
		return nil, c.dialError(c.closedError())
	}
}

func newClient(cfg Config) (c *Client, err error) {
	lives := cfg.PublishStore.Lives()
	if len(lives) == 0 {
		return nil, errors.New("publish store has no life: it is closed")
	}
	c = &Client{
		cfg:        cfg,
		name:       cmp.Or(cfg.Name, "holdfast-"+nuid.Next()),
		store:      cfg.PublishStore,
		core:       &lockedCore{store: cfg.PublishStore, wakeSession: signal.New(), core: clientcore.NewSession(lives, cfg.WindowMessages, cfg.WindowBytes, cfg.RecoveryTimeout)},
		lifetime:   lifetime{firstLogon: make(chan struct{}), finished: make(chan struct{})},
		publishing: publishing{calls: newCalls()},
		events:     events{wake: signal.New()},
		log:        newEventLog(),
		group:      &group{stores: [2]groupStore{cfg.PublishStore, cfg.BookmarkStore}},
		stats:      newClientStats(),
		subs:       make(map[string]*Subscription),
	}
	core := c.core.core // no other goroutine has it yet
	for _, l := range lives {
		core.Publisher().SetRejectedBefore(l.ID, cfg.PublishStore.Rejected(l.ID, 0, wire.MaxSpans), wire.MaxSpans)
	}
	c.maxMessage.Store(int64(cfg.MaxMessage))
	if cfg.AllowPublishGap {
		core.AllowPublishGaps()
	}
	if cfg.DropHeaders {
		core.DropHeaders()
	}
	c.cfg.Logger = slog.New(logging.NewHandler(cfg.Logger.Handler())).With("client", c.name)
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.callContexts.New = func() any { return &callContext{client: c.ctx} }
	c.messages.New = func() any { return new(pubstore.Message) }
	c.waiters.New = func() any { return &clientcore.Waiter{Ready: make(chan struct{}, 1)} }
	c.release, err = cfg.PublishStore.Acquire()
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return c, nil
}

// dialError joins cause, the last error of every server, and the attempt under way.
func (c *Client) dialError(cause error) error {
	errs := append([]error{cause}, c.stats.attemptErrors()...)
	return fmt.Errorf("dial: %w", errors.Join(errs...))
}

// Close ends the client at once. Loops end with ErrClosed. Connections are closed, and nothing more
// is sent. The next client that is given the publish store sends the messages in it, and
// undiscarded messages come again. Close returns when the client's goroutines have ended, and may
// be called again. The error is always nil. The application closes the stores afterwards.
func (c *Client) Close() error {
	c.beginDraining()
	c.cancel(ErrClosed)
	<-c.finished
	return nil
}

// Done returns a channel that is closed when the client has ended: after Close or Drain, or by
// itself. Err returns the reason.
func (c *Client) Done() <-chan struct{} { return c.finished }

// Err returns nil while the client runs. When it is being closed, and afterwards, Err returns
// ErrClosed. If the client stopped by itself, the error also wraps the cause.
func (c *Client) Err() error {
	if c.ctx.Err() == nil {
		return nil
	}
	return c.closedError()
}

// Drain ends the client gracefully. From now on Publish returns ErrClosed, subscriptions receive
// nothing more, and loops end after the queued messages. Then all discards are made durable and all
// published messages are settled as for Flush. Then the client is closed. It is also closed if ctx
// ends first; in that case the error says which of these steps are incomplete. A loop must not call
// Drain, which would wait for the loop. On a client that has ended, Drain returns nil.
func (c *Client) Drain(ctx context.Context) error {
	c.beginDraining()
	if c.ctx.Err() != nil {
		return c.Close() // nothing can be finished any more
	}
	var errs []error
	for _, s := range c.subscriptions() {
		errs = append(errs, s.finishLoop(ctx))
	}
	errs = append(errs, c.syncDiscards(ctx), c.awaitCalls(ctx), c.Flush(ctx))
	c.Close()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

func (c *Client) beginDraining() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	c.calls.shut()
}

// enter counts a call that adds to the publish store. It returns an error if no such call may begin
// any more. calls.leave ends the call.
func (c *Client) enter() error {
	if c.ctx.Err() != nil || !c.calls.enter() {
		return c.closedError()
	}
	return nil
}

// awaitCalls waits for the calls that began before draining began.
func (c *Client) awaitCalls(ctx context.Context) error {
	select {
	case <-c.calls.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("calls of Publish or RenewLife have not returned: %w", context.Cause(ctx))
	}
}

// closedError returns ErrClosed. If the client stopped by itself, the error also wraps the cause.
func (c *Client) closedError() error {
	cause := context.Cause(c.ctx)
	if cause == nil || errors.Is(cause, ErrClosed) {
		return ErrClosed
	}
	return fmt.Errorf("%w: %w", ErrClosed, cause)
}

// abort stops the client because of an error.
func (c *Client) abort(err error) { c.cancel(err) }

// connected returns the connection that is logged on, or nil.
func (c *Client) connected() *conn {
	return withLock(&c.mu, func() *conn { return c.cn })
}

func (c *Client) addSubscription(s *Subscription) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining || c.ctx.Err() != nil {
		return c.closedError()
	}
	if c.subs[s.id] != nil {
		return fmt.Errorf("subscription %q: %w", s.id, bookmarkstore.ErrInUse)
	}
	c.subs[s.id] = s
	return nil
}

func (c *Client) removeSubscription(s *Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs[s.id] == s {
		delete(c.subs, s.id)
	}
}

func (c *Client) subscriptions() []*Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.subs))
}
