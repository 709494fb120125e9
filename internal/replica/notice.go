package replica

import (
	"context"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// A question is a notice that waits for answers.
type question struct {
	Answers                // All: nobody who was to answer can't any more
	open    map[*conn]bool // not yet answered
	done    chan struct{}  // closed when nobody is left
}

// AskPeers tells the peers of a logon and waits for their answers until ctx
// ends.
func (l *Links) AskPeers(ctx context.Context, n Notice) Answers {
	id, q := l.ask(ctx, &n)
	select {
	case <-q.done:
	case <-ctx.Done():
	case <-l.ctx.Done():
	}
	return l.answers(id, q)
}

// answers returns what a question was answered, and ends it.
func (l *Links) answers(id uint64, q *question) Answers {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.asked, id)
	for c := range q.open {
		q.missed(c.peer.dest.Sync || c.sends())
	}
	return q.Answers
}

// missed notes a peer that has not answered, and whether it is among those that count for Enough.
func (q *question) missed(counts bool) {
	q.All = false
	q.Enough = q.Enough && !counts
}

// sends reports whether the peer replicates to us.
func (c *conn) sends() bool { return c.theirs != nil && c.theirs.Outbound }

// ask sends a notice to every peer that is connected, unless ctx has ended. A
// notice thus never goes out behind the answer to one that has ended ctx, by
// which the peer would take it for the later one (R11).
func (l *Links) ask(ctx context.Context, n *Notice) (uint64, *question) {
	q := &question{Answers: Answers{All: true, Enough: true}, open: make(map[*conn]bool), done: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		q.missed(true)
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
			if p.outbound() {
				q.missed(p.dest.Sync)
			}
		case p.conn.queueLocked(e.finish()) != nil:
			q.missed(p.dest.Sync || p.conn.sends())
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
func (l *Links) answered(c *conn, a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if q := l.asked[a.id]; q != nil && q.open[c] {
		q.Have = max(q.Have, a.have)
		if c.sends() {
			q.Coming = max(q.Coming, a.have)
		}
		q.Refused = q.Refused || a.refused
		q.Other = q.Other || a.other
		q.close(c)
	}
}

// unansweredLocked takes in that c will not answer any more.
func (l *Links) unansweredLocked(c *conn) {
	for _, q := range l.asked {
		if q.open[c] {
			q.missed(c.peer.dest.Sync || c.sends())
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
	a := answer{id: id}
	if c.l.o.OnNotice != nil {
		a.refused, a.other = c.l.o.OnNotice(n)
	}
	state, _ := c.l.o.Journal.State(n.Publisher)
	a.have, a.other = state.Have, a.other || bookmark.Mistaken(state.Check, n.Check)
	e := newEncoder()
	a.encode(e)
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return c.queueLocked(e.finish())
}
