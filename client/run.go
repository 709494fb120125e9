package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// formerGrace is how long a connection under a former life may take before
// subscriptions are taken up on it.
const formerGrace = 2 * time.Second

var (
	errSettled = errors.New("former life of the publish store is settled")
	errReoffer = errors.New("former lives of the publish store are offered again")
)

// run is the session goroutine: it connects, recovers, and connects again
// until the client is closed, and calls the hooks.
func (c *Client) run() {
	defer close(c.finished)
	defer c.release()
	var last Outcome
	attempts := 0
	for c.ctx.Err() == nil {
		choice, err := c.chooser.Next(c.ctx, last)
		if !c.rest(max(choice.Delay, c.courtesy(last))) {
			break
		}
		attempts++
		if err != nil {
			last = Outcome{Server: choice.Server, Err: fmt.Errorf("choose a server: %w", err), Attempts: attempts}
		} else {
			last = c.visit(choice)
			last.Attempts = attempts
		}
		last.Servers = c.servers()
		c.note(&last)
		if last.Connected >= stableAfter {
			attempts = 0
		}
	}
	c.terminate()
}

// courtesy is how long to keep off because the name is in use. It may stop the client (R11).
func (c *Client) courtesy(last Outcome) time.Duration {
	if !errors.Is(last.Err, ErrNameInUse) {
		return 0
	}
	wait, stop := c.names.InUse(time.Now().UnixNano())
	if stop {
		c.fail(last.Err)
	}
	return time.Duration(wait)
}

// rest waits before an attempt. False: the client is to stop.
func (c *Client) rest(d time.Duration) bool {
	if d <= 0 {
		c.runEvents()
		return c.ctx.Err() == nil
	}
	c.become(Waiting)
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		c.runEvents()
		select {
		case <-timer.C:
			return c.ctx.Err() == nil
		case <-c.wake:
		case <-c.ctx.Done():
			return false
		}
	}
}

// note records what became of an attempt or a connection, and stops the
// client if there is no use in another.
func (c *Client) note(last *Outcome) {
	if c.ctx.Err() != nil {
		return
	}
	if isFatal(last.Err) {
		c.fail(last.Err)
	}
	e := &ConnectError{Server: redact(last.Server), Err: last.Err}
	c.way.leave(e)
	if last.Planned {
		return
	}
	c.cfg.Logger.Warn("disconnected", "server", e.Server, "error", e.Err)
	c.mu.Lock()
	c.stats.LastFailure = e
	c.failures[e.Server]++
	known := false
	for i := range c.errs {
		if c.errs[i].Server == e.Server {
			c.errs[i], known = e, true
		}
	}
	if !known {
		c.errs = append(c.errs, e)
	}
	c.mu.Unlock()
	if hook := c.cfg.Hooks.Disconnected; hook != nil {
		hook(e.Server, e.Err)
	}
	switch {
	case errors.Is(last.Err, ErrPublishGap):
		c.refusedAsGap(e.Server)
	case errors.Is(last.Err, ErrNameInUse):
		c.out.nameInUse()
	}
}

// refusedAsGap makes known that a server lacks acknowledged messages (R4).
func (c *Client) refusedAsGap(server string) {
	c.out.mu.Lock()
	c.out.stats.GapRefusals++
	c.out.mu.Unlock()
	c.cfg.Logger.Warn("server lacks messages that were acknowledged before", "server", server)
	if hook := c.cfg.Hooks.PublishGap; hook != nil {
		hook(server)
	}
}

// isFatal reports whether err is of a publish store that cannot be used any
// more, or not with this client name.
func isFatal(err error) bool {
	var failed *pubstore.FailedError
	return errors.As(err, &failed) || errors.Is(err, pubstore.ErrOtherName) || errors.Is(err, pubstore.ErrClosed)
}

// redact hides a password in a server's URI.
func redact(server string) string {
	u, err := parseURI(server)
	if err != nil {
		return withoutUser(server)
	}
	return u.String()
}

// visit logs on to one server, with one life of the store after the other,
// and stays until the connection ends.
func (c *Client) visit(choice Choice) Outcome {
	var v clientcore.Visit
	out := Outcome{Server: choice.Server}
	for {
		life, old := v.Next(c.store.Lives())
		up, err := c.session(choice, life, old, &v)
		out.Connected += up
		switch {
		case c.ctx.Err() != nil:
			out.Err = context.Cause(c.ctx)
			return out
		case errors.Is(err, errAgain):
		case errors.Is(err, errSettled):
			v.Settled(life.ID, false)
		case errors.Is(err, ErrPublishGap) && old:
			c.refusedAsGap(redact(choice.Server))
			v.Settled(life.ID, true)
		case errors.Is(err, errReoffer):
			v.StartOver()
		default:
			out.Err, out.Planned = err, errors.Is(err, ErrPreferred)
			return out
		}
	}
}

// session is one connection: connect, recover, serve. It returns how long it
// was logged on and why it ended.
func (c *Client) session(choice Choice, life pubstore.Life, old bool, v *clientcore.Visit) (up time.Duration, err error) {
	c.become(Connecting)
	c.mu.Lock()
	c.stats.Attempts++
	c.trying = redact(choice.Server)
	c.mu.Unlock()
	cn, _, err := c.connect(choice, life, old)
	c.mu.Lock()
	c.trying = ""
	c.mu.Unlock()
	if err != nil {
		c.runEvents()
		return 0, err
	}
	began := time.Now()
	cn.former, cn.shown = v.Unsafe(), cn.info.Sync
	c.enterServer(cn)
	c.runEvents() // what was rejected is let go before anything is sent
	cn.start()
	err = c.serve(cn, choice, v)
	c.mu.Lock()
	c.cn = nil
	c.mu.Unlock()
	err = cn.lastWord(cn.close(err))
	c.runEvents()
	c.out.forget()
	return time.Since(began), err
}

// enterServer makes a connection that is logged on known.
func (c *Client) enterServer(cn *conn) {
	c.become(Recovering)
	c.mu.Lock()
	c.cn = cn
	c.stats.Connects++
	c.stats.Server = cn.info
	first := c.stats.Connects == 1
	if c.arrived != nil {
		close(c.arrived)
		c.arrived = nil
	}
	c.mu.Unlock()
	if first {
		close(c.first)
	}
	c.cfg.Logger.Info("connected", "server", cn.server, "version", cn.info.Version, "life", cn.life.ID)
	if hook := c.cfg.Hooks.Connected; hook != nil {
		hook(cn.info)
	}
	if m, moved := c.way.arrive(cn.server, time.Now()); moved {
		c.tellMoved(m)
	}
}

// A watch is what a session has to think of at a certain time.
type watch struct {
	began    time.Time
	resume   *time.Timer     // the subscriptions are taken up
	recovery *time.Timer     // they should have been answered
	offer    *time.Ticker    // former lives may be offered again
	better   *time.Ticker    // servers that are preferred are tried
	leave    clientcore.Hold // what the server says of itself is what it may be left for
	resumed  bool
}

func (c *Client) newWatch(cn *conn, choice Choice) *watch {
	w := &watch{
		began:    time.Now(),
		resume:   time.NewTimer(0),
		recovery: time.NewTimer(c.cfg.RecoveryTimeout),
		offer:    time.NewTicker(clientcore.AgainSpacing),
		better:   time.NewTicker(max(choice.Retry, time.Second)),
	}
	if cn.old.Load() {
		w.resume.Reset(formerGrace)
	}
	if len(choice.Better) == 0 || choice.Retry <= 0 {
		w.better.Stop()
	}
	w.said(choice, cn.info)
	return w
}

// said notes what the server says of itself.
func (w *watch) said(choice Choice, info ServerInfo) {
	w.leave.Note(choice.BetterIf == nil || choice.BetterIf(info), int64(time.Since(w.began)))
}

func (w *watch) stop() {
	w.resume.Stop()
	w.recovery.Stop()
	w.offer.Stop()
	w.better.Stop()
}

// serve looks after a connection until it ends.
func (c *Client) serve(cn *conn, choice Choice, v *clientcore.Visit) error {
	w := c.newWatch(cn, choice)
	defer w.stop()
	for {
		select {
		case <-cn.stop:
			return errStopped
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		case <-c.wake:
			c.runEvents()
		case <-w.resume.C:
			c.resume(cn)
			w.resumed = true
			cn.notify()
		case <-w.recovery.C:
			if cn.stuck() {
				return fmt.Errorf("resume subscriptions: %w", ErrTimeout)
			}
		case <-w.offer.C:
			cn.notify()
		case <-cn.signal:
			w.said(choice, c.noteStanding(cn))
			if err := c.look(cn, v, w); err != nil {
				return err
			}
		case <-w.better.C:
			if w.leave.For(int64(choice.BetterAfter), int64(time.Since(w.began))) && c.reachable(c.better(choice)) {
				return ErrPreferred
			}
		}
	}
}

// look finds out whether the session is live now, and whether the connection
// has to end for another life of the store.
func (c *Client) look(cn *conn, v *clientcore.Visit, w *watch) error {
	if w.resumed && cn.recovered() {
		c.become(Live)
	}
	if c.out.finished() {
		return errSettled
	}
	if since := time.Since(w.began); since >= clientcore.AgainSpacing && v.Due(c.store.Lives(), cn.inSync.Load(), since) {
		return errReoffer
	}
	return nil
}

// resume takes up every subscription that waits for a connection.
func (c *Client) resume(cn *conn) {
	for _, s := range c.subscriptions() {
		s.attach(cn)
	}
}

// reachable reports whether one of the servers answers a dial.
func (c *Client) reachable(servers []string) bool {
	for _, s := range servers {
		u, err := parseURI(s)
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(c.ctx, c.cfg.DialTimeout)
		nc, err := c.probe(ctx, u)
		cancel()
		if err == nil {
			nc.Close()
			return true
		}
	}
	return false
}

// become enters a state.
func (c *Client) become(s State) {
	c.mu.Lock()
	same := c.state == s && s != Connecting
	c.state = s
	c.mu.Unlock()
	if same {
		return
	}
	c.cfg.Logger.Debug("state changed", "state", s)
	if hook := c.cfg.Hooks.StateChanged; hook != nil {
		hook(s)
	}
}

// runEvents runs what was posted, in order.
func (c *Client) runEvents() {
	for {
		c.mu.Lock()
		events := c.events
		c.events = nil
		c.mu.Unlock()
		if len(events) == 0 {
			return
		}
		for _, f := range events {
			f()
		}
	}
}

// terminate ends everything that waits.
func (c *Client) terminate() {
	err := c.closedError()
	c.beginDraining()
	for _, s := range c.subscriptions() {
		s.abandon(err)
	}
	c.runEvents()
	c.become(Closed)
}
