package client

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/logging"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// searchPause is the pause between two rounds of a search.
const searchPause = time.Second

// A search connects to other servers for a subscription whose own server has removed messages, and
// reads the messages there (R9). It has one goroutine, which ends with the search, the subscription
// or the client. The client waits for it.
type search struct {
	s      *Subscription
	ctx    context.Context
	cancel context.CancelFunc
	known  clientcore.ServerReports // the last report of each server

	began    time.Time
	failures map[string]*logging.Outage // of servers, for the log
}

// startSearch starts a search for a subscription.
func (s *Subscription) startSearch() {
	q := &search{
		s: s, known: withCore(s.c.core, (*clientcore.Session).ServerReports),
		began: time.Now(), failures: make(map[string]*logging.Outage),
	}
	q.ctx, q.cancel = context.WithCancel(s.c.ctx)
	s.mu.Lock()
	s.search = q
	s.mu.Unlock()
	s.c.cfg.Logger.Info("other servers are asked for messages that the connected one has removed", "subscription", s.id, "topic", s.topic)
	s.c.searches.Go(q.run)
}

// run asks the servers one after the other, in rounds, until the core has decided.
func (q *search) run() {
	defer q.cancel()
	servers := q.s.c.searchServers()
	maps.DeleteFunc(q.known, func(uri string, _ clientcore.Server) bool { return !slices.Contains(servers, uri) })
	for {
		for _, uri := range servers {
			if q.finishIfDecided(len(servers)) {
				return
			}
			if err := q.askServer(uri); err != nil && q.ctx.Err() == nil {
				q.logFailure(uri, err)
			}
		}
		if q.finishIfDecided(len(servers)) {
			return
		}
		select {
		case <-time.After(searchPause):
		case <-q.ctx.Done():
			return
		}
	}
}

// logFailure logs that a server could not be asked, and then now and then that it still cannot.
func (q *search) logFailure(uri string, err error) {
	o := q.failures[uri]
	if o == nil {
		o = new(logging.Outage)
		q.failures[uri] = o
	}
	if o.Fail(time.Since(q.began)) {
		q.s.c.cfg.Logger.Info("another server cannot be asked for messages that the connected one has removed",
			"server", redact(uri), "subscription", q.s.id, "attempts", o.Attempts(), "error", err)
	}
}

// searchServers returns the URIs that the client may connect to. An application's own chooser does
// not list them; then these are the URIs that it has chosen so far.
func (c *Client) searchServers() []string {
	if list, ok := c.cfg.Chooser.(*listChooser); ok {
		return list.servers
	}
	return slices.Sorted(maps.Keys(withCore(c.core, (*clientcore.Session).ServerReports)))
}

// finishIfDecided applies the core's decision, if there is one. It reports whether the search has
// ended.
func (q *search) finishIfDecided(servers int) bool {
	s := q.s
	received := s.core.Received()
	s.mu.Lock()
	if s.search != q {
		s.mu.Unlock()
		return true
	}
	e, decided := s.core.ConcludeSearch(received, q.known, servers, time.Now())
	s.mu.Unlock()
	if decided {
		s.applyEffect(&e)
		s.attachNow()
	}
	return decided || q.ctx.Err() != nil
}

// askServer asks a server, unless the search is known to exclude it.
func (q *search) askServer(uri string) error {
	if server, ok := q.known[uri]; ok && !withLock(&q.s.mu, func() bool { return q.s.core.SearchIncludes(&server) }) {
		return nil
	}
	c := q.s.c
	u, err := parseURI(uri)
	if err != nil {
		return err
	}
	nc, err := c.dial(u, "")
	if err != nil {
		return err
	}
	defer nc.Close()
	stop := context.AfterFunc(q.ctx, func() { nc.Close() })
	defer stop()
	side := clientcore.NewSideSession(u.String(), cmp.Or(u.messageType, c.cfg.MessageType), version)
	cn := newConn(c, side, nc)
	if err := cn.authenticate(u, new(wire.Message)); err != nil {
		return fmt.Errorf("log on: %w", err)
	}
	cn.server, cn.in.idle = side.Server(), c.cfg.CommandTimeout
	q.known[uri] = cn.server
	return q.fetch(cn)
}

// fetch subscribes, if the core wants to ask the server, and handles frames until the server has
// nothing more for the search.
func (q *search) fetch(cn *conn) error {
	cmd, ok := q.ask(cn)
	if !ok {
		return nil
	}
	defer q.leaveServer(cn)
	if err := cn.nc.SetWriteDeadline(time.Now().Add(cn.c.cfg.CommandTimeout)); err != nil {
		return err
	}
	_, err := cn.nc.Write(cmd)
	err = asTimeout(err)
	done := func() bool { return q.s.cn != cn || q.s.core.SideDone() }
	for m := new(wire.Message); err == nil && !withLock(&q.s.mu, done); {
		err = cn.receive(m)
	}
	return err
}

// ask returns the encoded subscribe. ok is false if the server must not be asked.
func (q *search) ask(cn *conn) (cmd []byte, ok bool) {
	s := q.s
	id, received, now := s.c.newID(), s.core.Received(), time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.search != q || !s.core.ShouldAsk(&cn.server, now) {
		return nil, false
	}
	s.cn, cn.routes[id] = cn, route{s, id}
	c := s.core.Ask(&cn.server, id, received, now)
	return c.AppendTo(nil), true
}

// leaveServer ends the side session, unless the subscription has left it already.
func (q *search) leaveServer(cn *conn) {
	s := q.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cn == cn {
		s.cn = nil
		s.core.SideEnded(time.Now())
	}
}
