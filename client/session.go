package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// run is the session goroutine. It connects, recovers and reconnects until the client is closed,
// and it calls the hooks.
func (c *Client) run() {
	defer close(c.finished)
	defer c.release()
	c.pulse = newPulse()
	defer c.pulse.timer.Stop()
	var last Outcome
	var effect clientcore.EndEffect
	attempts := 0
	for c.ctx.Err() == nil {
		choice, err := c.cfg.Chooser.Next(c.ctx, last)
		if !c.awaitDelay(max(choice.Delay, effect.Wait)) {
			break
		}
		attempts++
		effect = clientcore.EndEffect{}
		if err != nil {
			last = Outcome{Server: choice.Server, Err: fmt.Errorf("choose a server: %w", err), Attempts: attempts}
		} else {
			last, effect = c.visit(choice)
			last.Attempts = attempts
		}
		last.Servers = c.knownServers()
		c.noteEnd(&last, effect)
		if last.Uptime >= clientcore.StableAfter {
			attempts = 0
		}
	}
	c.terminate()
}

// awaitDelay waits before an attempt. It returns false if the client has to stop.
func (c *Client) awaitDelay(d time.Duration) bool {
	if d <= 0 {
		c.events.run()
		return c.ctx.Err() == nil
	}
	c.setState(StateWaiting)
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		c.events.run()
		select {
		case <-timer.C:
			return c.ctx.Err() == nil
		case <-c.pulse.wait():
			c.beat()
		case <-c.events.wake:
		case <-c.ctx.Done():
			return false
		}
	}
}

// noteEnd records and reports the end of an attempt or a connection. It stops the client if another
// attempt would be useless.
func (c *Client) noteEnd(last *Outcome, effect clientcore.EndEffect) {
	if c.ctx.Err() != nil {
		return
	}
	if isFatal(last.Err) {
		c.abort(last.Err)
	}
	e := &ConnectError{Server: redact(last.Server), Err: last.Err}
	c.stats.attemptEnded(e, !last.Planned)
	if last.Planned {
		return
	}
	c.logEnded(e)
	if hook := c.cfg.Hooks.Disconnected; hook != nil {
		hook(e.Server, e.Err)
	}
	if effect.PublishGap {
		c.reportPublishGap(e.Server)
	}
}

// reportPublishGap reports that a server lacks acknowledged messages (R4).
func (c *Client) reportPublishGap(server string) {
	c.stats.change(func(s *Stats) { s.Publish.GapRefusals++ })
	callHook(c.cfg.Hooks.PublishGap, server)
}

// isFatal reports whether err says that the publish store can no longer be used, or not with this
// client name.
func isFatal(err error) bool {
	var failed *pubstore.FailedError
	return errors.As(err, &failed) || errors.Is(err, pubstore.ErrNameMismatch) || errors.Is(err, pubstore.ErrClosed)
}

// redact removes the password from a server's URI.
func redact(server string) string {
	u, err := parseURI(server)
	if err != nil {
		return withoutUser(server)
	}
	return u.String()
}

// visit logs on to one server, with one life of the store after the other, and stays until the
// connection for the last life has ended.
func (c *Client) visit(choice Choice) (Outcome, clientcore.EndEffect) {
	out := Outcome{Server: choice.Server}
	for {
		up, err := c.session(choice)
		out.Uptime += up
		if c.ctx.Err() != nil {
			out.Err = context.Cause(c.ctx)
			return out, clientcore.EndEffect{}
		}
		lives := c.store.Lives()
		effect := withCore(c.core, func(s *clientcore.Session) clientcore.EndEffect { return s.Ended(err, time.Now(), lives) })
		if effect.Cause != nil {
			err = effect.Cause
		}
		if effect.Renew {
			c.renewRefusedLife(err)
		}
		if effect.GiveUp != "" {
			c.giveUpLife(&effect, err)
		}
		if errors.Is(err, clientcore.ErrUnnamedRefusal) {
			c.cfg.Logger.Warn("the client logs on again, because the server has refused a message without naming it", "server", redact(choice.Server), "error", err)
		}
		if !effect.ReconnectNow {
			out.Err, out.Planned = err, errors.Is(err, ErrPreferred)
			return out, effect
		}
		if effect.PublishGap {
			c.logPublishGap(redact(choice.Server))
			c.reportPublishGap(redact(choice.Server))
		}
	}
}

// session makes one connection: it connects, recovers and serves. It returns the time from the
// logon to the end, and the reason of the end.
func (c *Client) session(choice Choice) (up time.Duration, err error) {
	server := redact(choice.Server)
	c.setState(StateConnecting)
	c.stats.setAttempt(server)
	lives := c.store.Lives()
	c.core.do(func(s *clientcore.Session) { s.Connect(choice.Server, server, lives) })
	cn, err := c.connect(choice)
	c.stats.setAttempt("")
	if err != nil {
		c.events.run()
		return 0, err
	}
	began := time.Now()
	cn.reportedSync = cn.info.Sync
	c.core.do(func(s *clientcore.Session) { s.StartTimers(time.Now()) })
	c.setConnected(cn)
	c.events.run() // the store lets rejected messages go before anything is sent
	cn.start()
	err = c.serve(cn, choice)
	c.mu.Lock()
	c.cn = nil
	c.mu.Unlock()
	err = c.closeReason(cn, asHungUp(cn.close(err)))
	c.events.run()
	return time.Since(began), err
}

// setConnected makes a connection that is logged on the present one, and reports it to the
// application.
func (c *Client) setConnected(cn *conn) {
	c.setState(StateRecovering)
	c.mu.Lock()
	c.cn = cn
	if c.connReady != nil {
		close(c.connReady)
		c.connReady = nil
	}
	c.mu.Unlock()
	first, m, moved := c.stats.loggedOn(cn.info)
	if first {
		close(c.firstLogon)
	}
	c.logConnected(cn.info, pubstore.PublisherOf(withCore(c.core, (*clientcore.Session).LifeID)), m, moved)
	if failpoint.On(failpoint.R10LifeTold) {
		c.cfg.Logger.Info("the client is connected", "publisher", c.store.Lives())
	}
	callHook(c.cfg.Hooks.Connected, cn.info)
	if moved {
		c.reportMoved(m)
	}
}

// serve handles events, steps of the core and probes until a connection ends.
func (c *Client) serve(cn *conn, choice Choice) error {
	began := time.Now()
	due := time.NewTimer(0) // time of the core's next step
	defer due.Stop()
	probe := time.NewTicker(max(choice.ProbeInterval, time.Second)) // next probe of preferred servers
	defer probe.Stop()
	if len(choice.Preferred) == 0 || choice.ProbeInterval <= 0 {
		probe.Stop()
	}
	var mayLeave clientcore.Steady // whether the server's state allows the client to leave it
	setState := func(info ServerInfo) {
		mayLeave.Set(choice.MoveIf == nil || choice.MoveIf(info), int64(time.Since(began)))
	}
	setState(cn.info)
	for {
		select {
		case <-cn.ctx.Done():
			return errStopped
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		case <-c.events.wake:
			c.events.run()
		case <-c.pulse.wait():
			c.beat()
		case <-due.C:
			c.core.wakeSession.Set()
		case <-c.core.wakeSession:
			setState(c.reportSyncChange(cn))
			if err := c.runSteps(cn, due); err != nil {
				return err
			}
		case <-probe.C:
			if mayLeave.For(int64(choice.MoveAfter), int64(time.Since(began))) && c.reachable(c.moveTargets(choice)) {
				return ErrPreferred
			}
		}
	}
}

// beat checks the states that may last.
func (c *Client) beat() {
	now := time.Now()
	c.logLateness(c.pulse.beat(now), now)
	c.logLate()
	c.checkPublishing()
}

// runSteps runs the core's due steps. An error ends the connection.
func (c *Client) runSteps(cn *conn, due *time.Timer) error {
	var steps clientcore.DueSteps
	var err error
	lives, now := c.store.Lives(), time.Now()
	c.core.do(func(s *clientcore.Session) {
		steps, err = s.DueSteps(now, lives)
		due.Reset(s.NextDue().Sub(now))
	})
	if err != nil {
		return err
	}
	if steps.Attach {
		for _, s := range c.subscriptions() {
			s.attach(cn)
		}
	}
	if steps.Live {
		c.setState(StateLive)
	}
	return nil
}

// reachable reports whether one of the servers answers a dial.
func (c *Client) reachable(servers []string) bool {
	for _, s := range servers {
		u, err := parseURI(s)
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(c.ctx, c.cfg.DialTimeout)
		nc, err := c.dialRaw(ctx, u)
		cancel()
		if err == nil {
			nc.Close()
			return true
		}
	}
	return false
}

// setState enters a state and reports it.
func (c *Client) setState(s State) {
	if !c.stats.setState(s) {
		return
	}
	c.cfg.Logger.Debug("the state of the client has changed", "state", s)
	callHook(c.cfg.Hooks.StateChanged, s)
}

// terminate ends all subscriptions and searches.
func (c *Client) terminate() {
	err := c.closedError()
	c.beginDraining()
	for _, s := range c.subscriptions() {
		s.abandon(err)
	}
	c.searches.Wait()
	for _, l := range c.store.Lives() {
		c.store.SetSent(l.ID, withCore(c.core, func(s *clientcore.Session) uint64 { return s.Sent(l) }))
	}
	c.events.run()
	if cause := context.Cause(c.ctx); !errors.Is(cause, ErrClosed) {
		c.cfg.Logger.Error("the client has stopped by itself", "error", cause)
	}
	c.setState(StateClosed)
}
