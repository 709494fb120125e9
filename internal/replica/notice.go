package replica

import (
	"context"
	"maps"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// A question is a notice that waits for answers.
type question struct {
	Answers                // All: every peer that was to answer has answered or still can
	open    map[*conn]bool // peers that have not answered
	enough  chan struct{}  // closed when no open peer counts for Enough
	done    chan struct{}  // closed when no peer is open
}

func newQuestion() *question {
	return &question{
		Answers: Answers{All: true, Enough: true, By: make(map[string]uint64)}, open: make(map[*conn]bool),
		enough: make(chan struct{}), done: make(chan struct{}),
	}
}

// AskPeers tells the peers of a logon and waits for their answers until ctx ends. When all peers
// that count for Enough have answered but others have not, it calls early with the answers so far.
func (l *Links) AskPeers(ctx context.Context, n Notice, early func(Answers)) Answers {
	id, q := l.ask(ctx, &n)
	if l.wait(ctx, q.enough) && !isClosed(q.done) {
		early(l.soFar(q))
	}
	l.wait(ctx, q.done)
	return l.answers(id, q)
}

// wait waits until c is closed. It returns false if ctx ends or the links close first.
func (l *Links) wait(ctx context.Context, c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-ctx.Done():
	case <-l.ctx.Done():
	}
	return false
}

// soFar returns the answers to a question until now.
func (l *Links) soFar(q *question) Answers {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := q.Answers
	a.All, a.Survivors, a.By = false, false, maps.Clone(a.By)
	return a
}

// answers returns the answers to a question and ends it.
func (l *Links) answers(id uint64, q *question) Answers {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.asked, id)
	for c := range q.open {
		q.silent(c.counts())
	}
	return q.Answers
}

// missed notes a peer that has not answered. counts: it is among those that count for Enough.
func (q *question) missed(counts bool) {
	q.All = false
	q.Enough = q.Enough && !counts
}

// silent does the same for a peer that is connected, or may be.
func (q *question) silent(counts bool) {
	q.missed(counts)
	q.Survivors = false
}

// sends reports whether the peer replicates to us.
func (c *conn) sends() bool { return c.theirs != nil && c.theirs.Outbound }

// counts reports whether the peer counts for Enough.
func (c *conn) counts() bool { return c.peer.dest.Sync || c.sends() }

// ask sends a notice to every connected peer, unless ctx has ended. So a notice never goes out
// after the answer to another notice that has ended ctx. Otherwise the peer would take it for the
// later one (R11).
func (l *Links) ask(ctx context.Context, n *Notice) (uint64, *question) {
	q, decree := newQuestion(), l.o.Journal.Decree()
	q.Survivors = decree.Incarnation > 0
	l.dropReturning(n.Publisher)
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		q.silent(true)
		q.look()
		return 0, q
	}
	l.lastAsked++
	id := l.lastAsked
	frame := newFrame(frameNotice, &noticeFrame{id, *n})
	for _, p := range l.peers {
		switch {
		case p.conn == nil:
			q.missed(p.outbound() && p.dest.Sync) // a peer that is no destination may know the publisher, too
			q.Survivors = q.Survivors && slices.Contains(decree.Lost, p.name)
		case p.conn.queueLocked(frame) != nil:
			q.silent(p.conn.counts())
		default:
			q.open[p.conn] = true
		}
	}
	l.asked[id] = q
	q.look()
	return id, q
}

// answered handles a peer's answer.
func (l *Links) answered(c *conn, a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.asked[a.id]
	if q == nil || !q.open[c] {
		return
	}
	q.Have, q.Forgotten = max(q.Have, a.have), max(q.Forgotten, a.closing.Forgotten)
	if c.sends() {
		q.Coming = max(q.Coming, a.have)
	}
	q.Refused = q.Refused || a.Refused
	q.Other = q.Other || a.Other
	q.Intact = q.Intact || a.intact
	q.Settled = q.Settled || a.settled
	if a.Lost {
		q.Lost = true
		q.silent(true)
	} else {
		q.By[c.peer.name] = a.have
	}
	q.close(c)
}

// unansweredLocked notes that c will answer no more questions.
func (l *Links) unansweredLocked(c *conn) {
	for _, q := range l.asked {
		if q.open[c] {
			q.silent(c.counts())
			q.close(c)
		}
	}
}

func (q *question) close(c *conn) {
	delete(q.open, c)
	q.look()
}

// look closes the channels of a question that has its answers. It closes done before enough: a
// goroutine that sees enough closed can then tell whether to wait on.
func (q *question) look() {
	for c := range q.open {
		if c.counts() {
			return
		}
	}
	if len(q.open) == 0 {
		close(q.done)
	}
	if !isClosed(q.enough) {
		close(q.enough)
	}
}

// takeNotice handles the notice of a logon at the peer, and answers with our have(p).
func (c *conn) takeNotice(d *decoder) error {
	var n noticeFrame
	if err := d.body(&n); err != nil {
		return err
	}
	a := answer{id: n.id, intact: c.l.Intact()}
	if c.l.o.OnNotice != nil {
		a.Reply = c.l.o.OnNotice(n.Notice)
	}
	c.l.o.Journal.Seen(n.Publisher) // the publisher has a session
	state, _ := c.l.o.Journal.State(n.Publisher)
	a.settled = c.l.o.Journal.Settled(n.Publisher)
	a.closing = c.l.o.Journal.Closing()
	c.reopen(state)
	a.have, a.Other = state.Have, a.Other || bookmark.Mistaken(state.Check, n.Check)
	frame := newFrame(frameAnswer, &a)
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return c.queueLocked(frame)
}
