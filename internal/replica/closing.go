package replica

import (
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// inSync reports whether the peer's acks wait for this instance, or ours for the peer.
func (p *peer) inSync() bool { return p.dest.Sync || p.role.sync }

// An instance announces to its peers which publishers it may forget. The announcement holds until
// the peer hears of a new session of the publisher, or until the connection ends. A peer that may
// forget the publisher, too, then treats it as unknown at the announcing instance, which may forget
// it at any time. So before anything else of that publisher, the peer sends the gone marker.

// AgreeToForget tells the peers which publishers are closing here, each with its have. agreed are
// those that every connected peer also calls closing or does not know (R10). It is empty while a
// peer in sync is away. closed equals agreed if all peers are connected, and is nil otherwise. If
// it is not nil, the publishers that all instances report as leaving are also passed to OnClosed.
func (l *Links) AgreeToForget(closing []bookmark.Bookmark) (agreed, closed []bookmark.Bookmark) {
	l.dropForgotten()
	leaves := func(b bookmark.Bookmark) bool { s, _ := l.o.Journal.State(b.Publisher); return s.Leaving }
	conns, sync, all := l.announceClosing(closing, leaves)
	if sync || failpoint.On(failpoint.R10ForgetsAlone) {
		for _, b := range closing {
			known := func(c *conn) bool { return c.peerKnows(b.Publisher) && !failpoint.On(failpoint.R10ForgetsAlone) }
			if !slices.ContainsFunc(conns, known) {
				agreed = append(agreed, b)
			}
		}
	}
	l.mu.Lock()
	l.agreed = agreed
	l.mu.Unlock()
	if !all && !failpoint.On(failpoint.R10ClosedByOne) {
		return agreed, nil
	}
	l.noteLeaving(slices.DeleteFunc(slices.Clone(agreed), func(b bookmark.Bookmark) bool {
		return !leaves(b) || slices.ContainsFunc(conns, func(c *conn) bool { return !c.peerLeaving(b) && !failpoint.On(failpoint.R10LeftOutByOwnAge) })
	}))
	return agreed, agreed
}

// noteLeaving records the publishers that are leaving everywhere, and reports the new ones to
// OnClosed.
func (l *Links) noteLeaving(publishers []bookmark.Bookmark) {
	leaving, added := make(bookmark.Vector, len(publishers)), make(bookmark.Vector)
	l.mu.Lock()
	for _, b := range publishers {
		leaving[b.Publisher] = b.Sequence
		if l.leaving[b.Publisher] != b.Sequence {
			added[b.Publisher] = b.Sequence
		}
	}
	l.leaving = leaving
	l.mu.Unlock()
	if len(added) > 0 && l.o.OnClosed != nil {
		l.o.OnClosed(added)
	}
}

// ClosedPublishers implements [ledger.Log].
func (l *Links) ClosedPublishers() bookmark.Vector {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaving
}

// dropForgotten drops the links' state of the publishers that were agreed on last and that the
// journal has forgotten since.
func (l *Links) dropForgotten() {
	l.mu.Lock()
	agreed := l.agreed
	l.agreed = nil
	l.mu.Unlock()
	l.dropPublishers(slices.DeleteFunc(agreed, l.journalKnows))
}

// dropReturning does the same for one publisher that has a session again, so that the peers' later
// information about it counts.
func (l *Links) dropReturning(publisher uint64) {
	b := bookmark.Bookmark{Publisher: publisher}
	if l.journalKnows(b) {
		return
	}
	l.mu.Lock()
	n := slices.IndexFunc(l.agreed, func(a bookmark.Bookmark) bool { return a.Publisher == publisher })
	if n >= 0 {
		l.agreed = slices.Concat(l.agreed[:n], l.agreed[n+1:]) // the caller of AgreeToForget may be reading the old slice
	}
	l.mu.Unlock()
	if n >= 0 {
		l.dropPublishers([]bookmark.Bookmark{b})
	}
}

// journalKnows reports whether the journal knows a publisher.
func (l *Links) journalKnows(b bookmark.Bookmark) bool {
	_, known := l.o.Journal.State(b.Publisher)
	return known
}

// dropPublishers drops the links' state of publishers that no instance knows any more.
func (l *Links) dropPublishers(gone []bookmark.Bookmark) {
	if len(gone) == 0 {
		return
	}
	l.mu.Lock()
	conns := slices.Clone(l.conns)
	for _, b := range gone {
		l.watermarks.Forget(b.Publisher)
		for _, p := range l.peers {
			delete(p.differing, b.Publisher)
			delete(p.equality.proven, b.Publisher)
			delete(p.equality.unknown, b.Publisher)
		}
		for _, p := range l.dests {
			p.progress.Forget(b.Publisher)
		}
	}
	l.mu.Unlock()
	for _, c := range conns {
		c.forget(gone)
	}
}

// forget drops the peer's state of publishers that no instance knows any more.
func (c *conn) forget(gone []bookmark.Bookmark) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range gone {
		c.link.PeerMayForget(b.Publisher)
		delete(c.leaving, b.Publisher)
	}
}

// peerKnows reports whether the peer may still have a publisher.
func (c *conn) peerKnows(publisher uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, known := c.link.Have()[publisher]
	return known
}

// announceClosing tells the connected peers which publishers are closing, and which of these are
// leaving. It returns the connections of the peers, and reports whether all peers in sync are
// connected and whether all peers are.
func (l *Links) announceClosing(closing []bookmark.Bookmark, leaves func(bookmark.Bookmark) bool) (conns []*conn, sync, all bool) {
	var lists [2][]bookmark.Bookmark
	for _, b := range closing {
		n := 0
		if leaves(b) {
			n = 1
		}
		lists[n] = append(lists[n], b)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	sync, all = true, true
	for _, p := range l.peers {
		if p.conn == nil {
			sync, all = sync && !p.inSync(), false
			continue
		}
		conns = append(conns, p.conn)
		for n, list := range lists {
			for part := range slices.Chunk(list, acksBatch) {
				frame := newFrame(frameClosing, &closingFrame{part, n == 1})
				_ = p.conn.queueLocked(frame) // a connection that cannot queue it ends
			}
		}
		p.conn.out.Wake()
	}
	return conns, sync, all
}

// handleClosing handles a peer's closing frame.
func (c *conn) handleClosing(d *decoder) error {
	var f closingFrame
	if err := d.body(&f); err != nil {
		return err
	}
	for _, b := range f.publishers {
		c.notePeerMayForget(b)
	}
	if f.leaving {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, b := range f.publishers {
			c.leaving[b.Publisher] = b.Sequence
		}
	}
	return nil
}

// peerLeaving reports whether the peer says that a publisher is leaving.
func (c *conn) peerLeaving(b bookmark.Bookmark) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaving[b.Publisher] == b.Sequence
}

// noteClosingInHello records the publishers that the peer's hello calls closing. It removes from
// the hello those that this instance does not know any more.
func (c *conn) noteClosingInHello() {
	c.theirs.States = slices.DeleteFunc(c.theirs.States, func(s journal.PublisherState) bool {
		if !s.Closing {
			return false
		}
		c.notePeerMayForget(bookmark.Bookmark{Publisher: s.Publisher, Sequence: s.Have})
		_, known := c.l.o.Journal.State(s.Publisher)
		return !known
	})
}

// notePeerMayForget records the peer's announcement that it may forget a publisher, whose last
// message there was b. It ignores the announcement, which the peer repeats, in two cases: this
// instance still has messages of the publisher, or its last one here was not b; or the publisher
// has diverged (R11).
func (c *conn) notePeerMayForget(b bookmark.Bookmark) {
	if c.l.o.Journal.Diverged(b.Publisher) > 0 && !failpoint.On(failpoint.R11DivergedPromised) {
		return
	}
	ours, known := c.l.o.Journal.State(b.Publisher)
	if known && (ours.Have != b.Sequence || ours.Floor != b.Sequence) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link.PeerMayForget(b.Publisher)
}

// openSession handles a session of a publisher here. Each peer that may not know the publisher is
// told about it, so that the peer acknowledges the messages that this instance has had before the
// session.
func (l *Links) openSession(publisher uint64) {
	l.o.Journal.Touch(publisher) // first, so that a link which comes up from now on tells the peer by itself
	ours, _ := l.o.Journal.State(publisher)
	if ours.Floor < ours.Have || failpoint.On(failpoint.R10OwnSessionUntold) {
		return // the records in the journal tell the peer
	}
	l.mu.Lock()
	conns := l.linkedLocked()
	l.mu.Unlock()
	for _, c := range conns {
		c.reopen(ours)
	}
}

// reopen handles a session of a publisher at the peer or here. If the peer may have forgotten the
// publisher, it gets the gone marker, so that it knows the publisher again, and an ack up to
// durable(p) here, which it may have forgotten as well.
func (c *conn) reopen(ours journal.PublisherState) {
	if failpoint.On(failpoint.R10StalePromise) {
		return
	}
	c.mu.Lock()
	known := c.link.NoteIntroduced(ours.Publisher)
	c.mu.Unlock()
	if known || ours.Have == 0 {
		return
	}
	c.l.mu.Lock()
	if ours.Durable > 0 && !failpoint.On(failpoint.R10DurableNotTold) {
		c.ackLocked(bookmark.Bookmark{Publisher: ours.Publisher, Sequence: ours.Durable})
	}
	if ours.Floor == ours.Have {
		c.reopened = append(c.reopened, ours)
	}
	c.l.mu.Unlock()
	c.out.Wake()
}

// keptVector returns the vector of our hello without the publishers that are closing here. All
// their messages are removed, so a peer that does not know such a publisher lacks nothing.
func (c *conn) keptVector() bookmark.Vector {
	v := make(bookmark.Vector, len(c.ours.States))
	for _, s := range c.ours.States {
		if !s.Closing {
			v[s.Publisher] = s.Have
		}
	}
	return v
}

// withoutForgotten removes from states each publisher that our hello called closing and that the
// peer does not know; theirs is the peer's vector. Otherwise the peer would learn of the publisher
// again, and it would never be forgotten. A publisher that became closing only after the hello
// stays: our hello announced it as one to be sent, and the peer waits for it. So does one that is
// not closing any more: it has a session, which waits for the peer's acks.
func withoutForgotten(states, inHello []journal.PublisherState, theirs bookmark.Vector) []journal.PublisherState {
	closing := make(map[uint64]bool)
	for _, s := range inHello {
		closing[s.Publisher] = s.Closing
	}
	return slices.DeleteFunc(states, func(s journal.PublisherState) bool {
		_, known := theirs[s.Publisher]
		known = known && !failpoint.On(failpoint.R10GoneNotTold)
		return s.Closing && (closing[s.Publisher] || failpoint.On(failpoint.R10ClosingNotTold)) && !known && !failpoint.On(failpoint.R10TellsForgotten)
	})
}
