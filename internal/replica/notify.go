package replica

import "context"

// A question is a notice that waits for answers.
type question struct {
	open map[*conn]bool // not yet answered
	have uint64         // highest answer
	all  bool           // nobody who was to answer can't any more
	done chan struct{}  // closed when nobody is left
}

// Notify tells the peers of a logon and waits for their answers until ctx
// ends. have is the highest answer; all reports whether every configured
// destination and connected peer has answered.
func (l *Links) Notify(ctx context.Context, n Notice) (have uint64, all bool) {
	id, q := l.ask(ctx, &n)
	select {
	case <-q.done:
	case <-ctx.Done():
	case <-l.ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.asked, id)
	return q.have, q.all && len(q.open) == 0
}

// ask sends a notice to every peer that is connected, unless ctx has ended. A
// notice thus never goes out behind the answer to one that has ended ctx, by
// which the peer would take it for the later one (R11).
func (l *Links) ask(ctx context.Context, n *Notice) (uint64, *question) {
	q := &question{open: make(map[*conn]bool), all: true, done: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		q.all = false
		close(q.done)
		return 0, q
	}
	l.lastAsked++
	id := l.lastAsked
	e := newEncoder()
	encodeNotice(e, id, n)
	for _, p := range l.peers {
		switch {
		case p.conn == nil:
			q.all = q.all && !p.outbound()
		case p.conn.queueLocked(e.finish()) != nil:
			q.all = false
		default:
			q.open[p.conn] = true
		}
	}
	l.asked[id] = q
	if len(q.open) == 0 {
		close(q.done)
	}
	return id, q
}

// answered takes in a peer's answer.
func (l *Links) answered(c *conn, id, have uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if q := l.asked[id]; q != nil && q.open[c] {
		q.have = max(q.have, have)
		q.close(c)
	}
}

// unansweredLocked takes in that c will not answer any more.
func (l *Links) unansweredLocked(c *conn) {
	for _, q := range l.asked {
		if q.open[c] {
			q.all = false
			q.close(c)
		}
	}
}

func (q *question) close(c *conn) {
	delete(q.open, c)
	if len(q.open) == 0 {
		close(q.done)
	}
}

// takeNotice tells of the peer's logon, then answers with our have(p).
func (c *conn) takeNotice(d *decoder) error {
	id, n, err := decodeNotice(d)
	if err != nil {
		return err
	}
	if c.l.o.OnNotice != nil {
		c.l.o.OnNotice(n)
	}
	state, _ := c.l.o.Journal.State(n.Publisher)
	e := newEncoder()
	encodeAnswer(e, id, state.Have)
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return c.queueLocked(e.finish())
}
