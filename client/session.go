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
	var last Outcome
	var leave clientcore.Leave
	attempts := 0
	for c.ctx.Err() == nil {
		choice, err := c.cfg.Chooser.Next(c.ctx, last)
		if !c.rest(max(choice.Delay, leave.Wait)) {
			break
		}
		attempts++
		leave = clientcore.Leave{}
		if err != nil {
			last = Outcome{Server: choice.Server, Err: fmt.Errorf("choose a server: %w", err), Attempts: attempts}
		} else {
			last, leave = c.visit(choice)
			last.Attempts = attempts
		}
		last.Servers = c.servers()
		c.note(&last, leave)
		if last.Connected >= clientcore.StableAfter {
			attempts = 0
		}
	}
	c.terminate()
}

// rest waits before an attempt. It returns false if the client has to stop.
func (c *Client) rest(d time.Duration) bool {
	if d <= 0 {
		c.events.run()
		return c.ctx.Err() == nil
	}
	c.become(Waiting)
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		c.events.run()
		select {
		case <-timer.C:
			return c.ctx.Err() == nil
		case <-c.events.wake:
		case <-c.ctx.Done():
			return false
		}
	}
}

// note records the end of an attempt or a connection. It stops the client if another attempt would
// be useless.
func (c *Client) note(last *Outcome, leave clientcore.Leave) {
	if c.ctx.Err() != nil {
		return
	}
	if isFatal(last.Err) {
		c.fail(last.Err)
	}
	e := &ConnectError{Server: redact(last.Server), Err: last.Err}
	c.record.left(e, !last.Planned)
	if last.Planned {
		return
	}
	c.cfg.Logger.Warn("disconnected", "server", e.Server, "error", e.Err)
	if hook := c.cfg.Hooks.Disconnected; hook != nil {
		hook(e.Server, e.Err)
	}
	if leave.Gap {
		c.refusedAsGap(e.Server)
	}
}

// refusedAsGap reports that a server lacks acknowledged messages (R4).
func (c *Client) refusedAsGap(server string) {
	c.record.change(func(s *Stats) { s.Publish.GapRefusals++ })
	c.cfg.Logger.Warn("server lacks messages that were acknowledged before", "server", server)
	tell(c.cfg.Hooks.PublishGap, server)
}

// isFatal reports whether err says that the publish store cannot be used any more, or not with this
// client name.
func isFatal(err error) bool {
	var failed *pubstore.FailedError
	return errors.As(err, &failed) || errors.Is(err, pubstore.ErrOtherName) || errors.Is(err, pubstore.ErrClosed)
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
// connection ends.
func (c *Client) visit(choice Choice) (Outcome, clientcore.Leave) {
	out := Outcome{Server: choice.Server}
	for {
		up, err := c.session(choice)
		out.Connected += up
		if c.ctx.Err() != nil {
			out.Err = context.Cause(c.ctx)
			return out, clientcore.Leave{}
		}
		lives := c.store.Lives()
		leave := with(c.core, func(s *clientcore.Session) clientcore.Leave { return s.Ended(err, time.Now(), lives) })
		if leave.Cause != nil {
			err = leave.Cause
		}
		if leave.Renew {
			c.renewRefused(err)
		}
		if leave.GiveUp != "" {
			c.giveUp(&leave, err)
		}
		if errors.Is(err, clientcore.ErrUnnamed) {
			c.cfg.Logger.Warn("logging on again", "server", redact(choice.Server), "error", err)
		}
		if !leave.Again {
			out.Err, out.Planned = err, errors.Is(err, ErrPreferred)
			return out, leave
		}
		if leave.Gap {
			c.refusedAsGap(redact(choice.Server))
		}
	}
}

// session makes one connection: it connects, recovers and serves. It returns the time from the
// logon to the end, and the reason of the end.
func (c *Client) session(choice Choice) (up time.Duration, err error) {
	server := redact(choice.Server)
	c.become(Connecting)
	c.record.tries(server)
	lives := c.store.Lives()
	c.core.do(func(s *clientcore.Session) { s.Connect(choice.Server, server, lives) })
	cn, err := c.connect(choice)
	c.record.tries("")
	if err != nil {
		c.events.run()
		return 0, err
	}
	began := time.Now()
	cn.shown = cn.info.Sync
	c.core.do(func(s *clientcore.Session) { s.Start(time.Now()) })
	c.enterServer(cn)
	c.events.run() // rejected messages are let go before anything is sent
	cn.start()
	err = c.serve(cn, choice)
	c.mu.Lock()
	c.cn = nil
	c.mu.Unlock()
	err = c.lastWord(cn, ended(cn.close(err)))
	c.events.run()
	return time.Since(began), err
}

// enterServer publishes a connection that is logged on, and reports it to the application.
func (c *Client) enterServer(cn *conn) {
	c.become(Recovering)
	c.mu.Lock()
	c.cn = cn
	if c.arrived != nil {
		close(c.arrived)
		c.arrived = nil
	}
	c.mu.Unlock()
	first, m, moved := c.record.connected(cn.info)
	if first {
		close(c.first)
	}
	c.cfg.Logger.Info("connected", "server", cn.info.Server, "version", cn.info.Version, "publisher", pubstore.PublisherOf(with(c.core, (*clientcore.Session).Life)))
	if failpoint.On(failpoint.R10LifeTold) {
		c.cfg.Logger.Info("connected", "lives", c.store.Lives())
	}
	tell(c.cfg.Hooks.Connected, cn.info)
	if moved {
		c.tellMoved(m)
	}
}

// serve handles events, steps of the core and probes until a connection ends.
func (c *Client) serve(cn *conn, choice Choice) error {
	began := time.Now()
	due := time.NewTimer(0) // time of the core's next step
	defer due.Stop()
	better := time.NewTicker(max(choice.Retry, time.Second)) // next probe of better servers
	defer better.Stop()
	if len(choice.Better) == 0 || choice.Retry <= 0 {
		better.Stop()
	}
	var leave clientcore.Hold // whether the server's state allows the client to leave it
	said := func(info ServerInfo) {
		leave.Note(choice.BetterIf == nil || choice.BetterIf(info), int64(time.Since(began)))
	}
	said(cn.info)
	for {
		select {
		case <-cn.ctx.Done():
			return errStopped
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		case <-c.events.wake:
			c.events.run()
		case <-due.C:
			c.core.news.Set()
		case <-c.core.news:
			said(c.noteStanding(cn))
			if err := c.look(cn, due); err != nil {
				return err
			}
		case <-better.C:
			if leave.For(int64(choice.BetterAfter), int64(time.Since(began))) && c.reachable(c.better(choice)) {
				return ErrPreferred
			}
		}
	}
}

// look takes the core's due steps. An error ends the connection.
func (c *Client) look(cn *conn, due *time.Timer) error {
	var l clientcore.Look
	var err error
	lives, now := c.store.Lives(), time.Now()
	c.core.do(func(s *clientcore.Session) {
		l, err = s.Look(now, lives)
		due.Reset(s.Due().Sub(now))
	})
	if err != nil {
		return err
	}
	if l.Attach {
		for _, s := range c.subscriptions() {
			s.attach(cn)
		}
	}
	if l.Live {
		c.become(Live)
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
		nc, err := c.probe(ctx, u)
		cancel()
		if err == nil {
			nc.Close()
			return true
		}
	}
	return false
}

// become enters a state and reports it.
func (c *Client) become(s State) {
	news := false // the state is new, or another attempt begins
	c.record.change(func(stats *Stats) {
		news = stats.State != s || s == Connecting
		stats.State = s
	})
	if !news {
		return
	}
	c.cfg.Logger.Debug("state changed", "state", s)
	tell(c.cfg.Hooks.StateChanged, s)
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
		c.store.SetSent(l.ID, with(c.core, func(s *clientcore.Session) uint64 { return s.Sent(l) }))
	}
	c.events.run()
	c.become(Closed)
}
