package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// searchPause is the time between two rounds of a search.
const searchPause = time.Second

// A search connects to other servers for a subscription whose own server has
// removed messages, and reads them there (R9). It has one goroutine, which ends
// with the search, the subscription or the client; the client waits for it.
type search struct {
	s      *Subscription
	ctx    context.Context
	cancel context.CancelFunc
	known  clientcore.Known // who the servers have said they are
}

// startSearch starts the search of a subscription that needs one.
func (s *Subscription) startSearch() {
	q := &search{s: s, known: with(s.c.core, (*clientcore.Session).Known)}
	q.ctx, q.cancel = context.WithCancel(s.c.ctx)
	s.mu.Lock()
	s.search = q
	s.mu.Unlock()
	s.c.cfg.Logger.Info("looking for messages on other servers that are no longer in this server's log", "subscription", s.id, "topic", s.topic)
	s.c.searches.Go(q.run)
}

// run asks one server after the other, in rounds, until the core has decided.
func (q *search) run() {
	defer q.cancel()
	servers := q.s.c.addresses()
	maps.DeleteFunc(q.known, func(uri string, _ clientcore.Server) bool { return !slices.Contains(servers, uri) })
	for {
		for _, uri := range servers {
			if q.decided(len(servers)) {
				return
			}
			if err := q.visit(uri); err != nil && q.ctx.Err() == nil {
				q.s.c.cfg.Logger.Info("messages not fetched from another server", "server", redact(uri), "subscription", q.s.id, "error", err)
			}
		}
		if q.decided(len(servers)) {
			return
		}
		select {
		case <-time.After(searchPause):
		case <-q.ctx.Done():
			return
		}
	}
}

// addresses returns the URIs that the client may connect to. A chooser of the
// application's own does not list them: then those it has chosen so far.
func (c *Client) addresses() []string {
	if list, ok := c.cfg.Chooser.(*listChooser); ok {
		return list.servers
	}
	return slices.Sorted(maps.Keys(with(c.core, (*clientcore.Session).Known)))
}

// decided applies the core's decision, if there is one.
func (q *search) decided(servers int) bool {
	s := q.s
	have := s.core.Received()
	s.mu.Lock()
	if s.search != q {
		s.mu.Unlock()
		return true
	}
	e, over := s.core.Found(have, q.known, servers, time.Now())
	s.mu.Unlock()
	if over {
		s.apply(&e)
		s.attachNow()
	}
	return over || q.ctx.Err() != nil
}

// visit asks a server, unless it is known to be none of those that are to be asked.
func (q *search) visit(uri string) error {
	if at, is := q.known[uri]; is && !q.seeks(&at) {
		return nil
	}
	cn, err := q.connect(uri)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(q.ctx, func() { cn.nc.Close() })
	defer stop()
	defer cn.nc.Close()
	q.known[uri] = cn.at
	cmd, ask := q.ask(cn)
	if !ask {
		return nil
	}
	defer q.leave(cn)
	if err := cn.sideWrite(cmd); err != nil {
		return err
	}
	return q.read(cn)
}

func (q *search) seeks(at *clientcore.Server) bool {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	return q.s.core.Seeks(at)
}

// connect makes a side session: it has no name, so that it takes nothing from
// the client's own session, and no store, so that it can't publish.
func (q *search) connect(uri string) (*conn, error) {
	u, err := parseURI(uri)
	if err != nil {
		return nil, err
	}
	nc, err := q.s.c.dial(u, "")
	if err != nil {
		return nil, err
	}
	cn := newConn(q.s.c, nc)
	cn.in.idle = q.s.c.cfg.CommandTimeout
	stop := context.AfterFunc(q.ctx, func() { nc.Close() })
	defer stop()
	if err := cn.sideLogon(u); err != nil {
		nc.Close()
		return nil, fmt.Errorf("log on: %w", err)
	}
	return cn, nil
}

// sideLogon logs on, again for each challenge.
func (cn *conn) sideLogon(u *uri) error {
	c := cn.c
	challenge := Challenge{Server: u.String()}
	for asked := 1; ; asked++ {
		user, password, err := c.credentials(u, challenge)
		if err != nil {
			return err
		}
		if err := cn.sideWrite(clientcore.SideLogon(cmp.Or(u.messageType, c.cfg.MessageType), version, user, password).AppendTo(nil)); err != nil {
			return err
		}
		var m wire.Message
		for m.Command != wire.Ack {
			if err := cn.in.next(&m); err != nil {
				return err
			}
		}
		var accepted bool
		cn.at, accepted, err = clientcore.SideServer(u.String(), &m, asked)
		if err != nil || accepted {
			return inWords(err, "")
		}
		challenge.User, challenge.Text = string(m.UserID), string(m.Password)
	}
}

func (cn *conn) sideWrite(frame []byte) error {
	if err := cn.nc.SetWriteDeadline(time.Now().Add(cn.c.cfg.CommandTimeout)); err != nil {
		return err
	}
	_, err := cn.nc.Write(frame)
	return silence(err)
}

// ask prepares the subscribe, if the server is to be asked.
func (q *search) ask(cn *conn) (cmd []byte, ask bool) {
	s := q.s
	id, have, now := s.c.newID(), s.core.Received(), time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.search != q || !s.core.Asks(&cn.at, now) {
		return nil, false
	}
	s.cn, cn.routes[id] = cn, route{s, id}
	c := s.core.Ask(&cn.at, id, have, now)
	return c.AppendTo(nil), true
}

// read takes in frames until the server has nothing more for the search.
func (q *search) read(cn *conn) error {
	var m wire.Message
	for !q.served(cn) {
		err := cn.in.next(&m)
		if long, is := errors.AsType[*wire.TooLargeError](err); is {
			err = cn.tooLarge(&m, long)
		} else if err == nil {
			err = cn.sideDispatch(&m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (q *search) served(cn *conn) bool {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	return q.s.cn != cn || q.s.core.Served()
}

// sideDispatch hands over a frame that is for the subscription. An ack that is not
// concerns the session.
func (cn *conn) sideDispatch(m *wire.Message) error {
	if m.Command != wire.Ack {
		return cn.dispatch(m)
	}
	id := m.CommandID
	if len(id) == 0 {
		id = m.SubID
	}
	if r, name := cn.route(id); r != nil {
		return r.ack(cn, name, m)
	}
	if m.Failed() {
		return &CommandError{Command: "session", Reason: string(m.Reason)}
	}
	return nil
}

// leave ends a side session, unless the subscription has left it.
func (q *search) leave(cn *conn) {
	s := q.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cn == cn {
		s.cn = nil
		s.core.Left(time.Now())
	}
}
