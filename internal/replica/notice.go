package replica

import (
	"context"
	"maps"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// A pendingNotice is a notice that waits for answers.
type pendingNotice struct {
	user    string         // of the notice
	Answers                // AllAnswered: every peer that was to answer has answered or still can
	open    map[*conn]bool // peers that have not answered
	enough  chan struct{}  // closed when no open peer counts for EnoughAnswered
	done    chan struct{}  // closed when no peer is open
}

func newPendingNotice() *pendingNotice {
	return &pendingNotice{
		Answers: Answers{AllAnswered: true, EnoughAnswered: true, HaveByPeer: make(map[string]uint64)}, open: make(map[*conn]bool),
		enough: make(chan struct{}), done: make(chan struct{}),
	}
}

// AskPeers tells the peers of a logon and waits for their answers until ctx ends. If all peers that
// count for EnoughAnswered have answered but others have not, it calls early with the answers so
// far.
func (l *Links) AskPeers(ctx context.Context, n Notice, early func(Answers)) Answers {
	id, q := l.sendNotice(ctx, &n)
	if l.waitFor(ctx, q.enough) && !isClosed(q.done) {
		early(l.partialAnswers(q))
	}
	l.waitFor(ctx, q.done)
	return l.finishNotice(id, q)
}

// waitFor waits until c is closed. It returns false if ctx ends or the links close first.
func (l *Links) waitFor(ctx context.Context, c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-ctx.Done():
	case <-l.ctx.Done():
	}
	return false
}

// partialAnswers returns the answers to a notice so far.
func (l *Links) partialAnswers(q *pendingNotice) Answers {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := q.Answers
	a.AllAnswered, a.SurvivorsAnswered, a.HaveByPeer = false, false, maps.Clone(a.HaveByPeer)
	return a
}

// finishNotice returns the answers to a notice and forgets it.
func (l *Links) finishNotice(id uint64, q *pendingNotice) Answers {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pendingNotices, id)
	for c := range q.open {
		q.noteSilent(c.countsForEnough())
	}
	return q.Answers
}

// noteAbsent notes a peer that has not answered. counts says that it counts for EnoughAnswered.
func (q *pendingNotice) noteAbsent(counts bool) {
	q.AllAnswered = false
	q.EnoughAnswered = q.EnoughAnswered && !counts
}

// noteSilent does the same for a peer that is connected, or may be.
func (q *pendingNotice) noteSilent(counts bool) {
	q.noteAbsent(counts)
	q.SurvivorsAnswered = false
}

// inbound reports whether the peer replicates to us.
func (c *conn) inbound() bool { return c.theirs != nil && c.theirs.Outbound }

// countsForEnough reports whether the peer counts for EnoughAnswered.
func (c *conn) countsForEnough() bool { return c.peer.dest.Sync || c.inbound() }

// sendNotice sends a notice to every connected peer, unless ctx has ended. An answer to a peer's
// notice may have ended ctx. A notice sent after that answer would look to the peer like the later
// logon (R11).
func (l *Links) sendNotice(ctx context.Context, n *Notice) (uint64, *pendingNotice) {
	q, decree := newPendingNotice(), l.o.Journal.Decree()
	q.user, q.SurvivorsAnswered = n.User, decree.Incarnation > 0
	l.dropReturning(n.Publisher)
	l.openSession(n.Publisher)
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		q.noteSilent(true)
		q.closeIfAnswered()
		return 0, q
	}
	l.lastNotice++
	id := l.lastNotice
	frame := newFrame(frameNotice, &noticeFrame{id, *n})
	for _, p := range l.peers {
		switch {
		case p.conn == nil:
			q.noteAbsent(p.outbound() && p.dest.Sync) // a peer that is no destination may know the publisher as well
			q.SurvivorsAnswered = q.SurvivorsAnswered && slices.Contains(decree.Lost, p.name)
		case p.conn.queueLocked(frame) != nil:
			q.noteSilent(p.conn.countsForEnough())
		default:
			q.open[p.conn] = true
		}
	}
	l.pendingNotices[id] = q
	q.closeIfAnswered()
	return id, q
}

// handleAnswer handles a peer's answer to a notice.
func (l *Links) handleAnswer(c *conn, a noticeAnswer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.pendingNotices[a.id]
	if q == nil || !q.open[c] {
		return
	}
	q.Have, q.Forgotten = max(q.Have, a.have), max(q.Forgotten, a.groupClock.Forgotten)
	if c.inbound() {
		q.IncomingHave = max(q.IncomingHave, a.have)
	}
	q.NameTaken = q.NameTaken || a.NameTaken
	q.OtherPublisher = q.OtherPublisher || a.OtherPublisher
	q.noteOwner(a.owner)
	q.Intact = q.Intact || a.intact
	q.DecreeUsed = q.DecreeUsed || a.decreeUsed
	if a.Outbid {
		q.Outbid = true
		q.noteSilent(true)
	} else {
		q.HaveByPeer[c.peer.name] = a.have
	}
	q.remove(c)
}

// noteOwner notes the owner of the publisher at a peer. If peers state different ones, one of them is
// not the user of the notice. That one counts.
func (q *pendingNotice) noteOwner(owner string) {
	if owner != "" && (q.Owner == "" || q.Owner == q.user) {
		q.Owner = owner
	}
}

// dropFromNoticesLocked ends all notices for c, whose peer cannot answer any more.
func (l *Links) dropFromNoticesLocked(c *conn) {
	for _, q := range l.pendingNotices {
		if q.open[c] {
			q.noteSilent(c.countsForEnough())
			q.remove(c)
		}
	}
}

func (q *pendingNotice) remove(c *conn) {
	delete(q.open, c)
	q.closeIfAnswered()
}

// closeIfAnswered closes the channels of a notice that has its answers. It closes done before
// enough, so that a goroutine which sees enough closed can tell whether to wait on.
func (q *pendingNotice) closeIfAnswered() {
	for c := range q.open {
		if c.countsForEnough() {
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

// handleNotice handles the notice of a logon at the peer, and answers with our have(p).
func (c *conn) handleNotice(d *decoder) error {
	var n noticeFrame
	if err := d.body(&n); err != nil {
		return err
	}
	a := noticeAnswer{id: n.id, intact: c.l.Intact()}
	if c.l.o.OnNotice != nil {
		a.Reply = c.l.o.OnNotice(n.Notice)
	}
	c.l.o.Journal.Touch(n.Publisher) // the publisher has a session
	state, _ := c.l.o.Journal.State(n.Publisher)
	a.decreeUsed = c.l.o.Journal.DecreeUsed(n.Publisher)
	a.groupClock = c.l.o.Journal.GroupClock()
	c.reopen(state)
	a.owner = state.Owner
	a.have, a.OtherPublisher = state.Have, a.OtherPublisher || bookmark.ChecksDiffer(state.Check, n.Check)
	frame := newFrame(frameAnswer, &a)
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return c.queueLocked(frame)
}
