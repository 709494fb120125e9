package replica

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/crc"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// noteDiverged records publishers that have diverged, each with the first number that is not proven
// equal, and sets them apart (R11). The journal comes first: the note is durable before the
// publishers stop counting, and before peers and sessions hear of it. The error is the journal's.
func (l *Links) noteDiverged(found []bookmark.Bookmark) error {
	changed, err := l.o.Journal.NoteDiverged(found)
	if err != nil {
		return fmt.Errorf("the journal accepts no more records: %w", err)
	}
	if len(changed) == 0 {
		return nil
	}
	for _, b := range changed {
		l.o.Log.Error("DIVERGED: nothing more of a publisher is accepted, replicated or waited for: two instances have different messages under one number", "publisher", b.Publisher, "sequence", b.Sequence)
	}
	l.mu.Lock()
	for _, p := range l.peers {
		l.excludeLocked(p, changed)
	}
	conns := l.linkedLocked()
	l.mu.Unlock()
	for _, c := range conns {
		c.exclude(changed)
		c.sendDiverged(changed)
	}
	if l.o.OnDiverged != nil {
		l.o.OnDiverged(changed)
	}
	l.notifyWatermarks(nil)
	l.wakeWatch()
	return nil
}

// maxBookmark returns a vector entry that covers all messages of a publisher.
func maxBookmark(publisher uint64) bookmark.Bookmark {
	return bookmark.Bookmark{Publisher: publisher, Sequence: bookmark.MaxSequence}
}

// excludeLocked makes the publishers count neither as missing at a peer nor as expected from it.
func (l *Links) excludeLocked(p *peer, diverged []bookmark.Bookmark) {
	if failpoint.On(failpoint.R11DivergedAwaited) {
		return
	}
	for _, b := range diverged {
		last := maxBookmark(b.Publisher)
		if p.outbound() {
			p.progress.Acked(last)
			p.backlog.RemoveReached(last)
		}
		if l.rejoining.Load() {
			l.rejoin.NotExpected(p.name, last)
			l.rejoin.Acked(p.name, last)
		}
	}
}

// exclude stops sending records of the publishers to the peer.
func (c *conn) exclude(diverged []bookmark.Bookmark) {
	if failpoint.On(failpoint.R11DivergedSent) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range diverged {
		c.link.Raise(maxBookmark(b.Publisher))
	}
}

// sendDiverged sends the peer the diverged publishers.
func (c *conn) sendDiverged(diverged []bookmark.Bookmark) {
	for part := range slices.Chunk(diverged, acksBatch) {
		frame := newFrame(frameDiverged, (*vectorFrame)(&part))
		c.l.mu.Lock()
		err := c.queueLocked(frame)
		c.l.mu.Unlock()
		if err != nil {
			c.closeWith(err)
		}
	}
}

// handleDiverged handles the publishers that a peer reports as diverged.
func (c *conn) handleDiverged(d *decoder) error {
	var diverged vectorFrame
	if err := d.body(&diverged); err != nil {
		return err
	}
	return c.l.noteDiverged(diverged)
}

// findDiverged finds the publishers that have diverged according to the peer's hello.
func (c *conn) findDiverged() error {
	if err := c.findDivergedInHello(); err != nil {
		return err
	}
	c.l.mu.Lock()
	c.l.peers[c.theirs.Name].equality.reset(c.ours, c.theirs)
	c.l.mu.Unlock()
	if failpoint.On(failpoint.R11ComparedLate) {
		return nil
	}
	return c.l.compareStates(c, c.theirs.States, c.theirs.Damaged)
}

// findDivergedInHello finds the publishers that the peer's hello reports as diverged, and those
// that are other publishers there. If the peer lacks numbers of a diverged publisher, those are not
// proven equal. It also takes over the owners that this instance does not know.
func (c *conn) findDivergedInHello() error {
	var found []bookmark.Bookmark
	var owners []journal.PublisherOwner
	ours := c.l.o.Journal.AllDiverged()
	for _, s := range c.theirs.States {
		from := cmp.Or(s.Diverged, ours[s.Publisher])
		delete(ours, s.Publisher)
		known, _ := c.l.o.Journal.State(s.Publisher)
		if known.Owner == "" && s.Owner != "" {
			owners = append(owners, journal.PublisherOwner{Publisher: s.Publisher, Owner: s.Owner})
		}
		switch {
		case c.isOtherPublisher(&known, &s):
			found = append(found, bookmark.Bookmark{Publisher: s.Publisher, Sequence: 1})
		case from > 0:
			found = append(found, bookmark.Bookmark{Publisher: s.Publisher, Sequence: min(from, s.Have+1)})
		}
	}
	for publisher := range ours { // the peer does not know it
		found = append(found, bookmark.Bookmark{Publisher: publisher, Sequence: 1})
	}
	if err := c.l.o.Journal.NoteOwners(owners); err != nil {
		return fmt.Errorf("the journal accepts no more records: %w", err)
	}
	return c.l.noteDiverged(found)
}

// excludeDiverged excludes the known diverged publishers from a connection that has just become a
// link, and reports them to the peer.
func (l *Links) excludeDiverged(c *conn) {
	var diverged []bookmark.Bookmark
	all := l.o.Journal.AllDiverged()
	for _, publisher := range all.Publishers() {
		diverged = append(diverged, bookmark.Bookmark{Publisher: publisher, Sequence: all[publisher]})
	}
	l.mu.Lock()
	l.excludeLocked(c.peer, diverged)
	l.mu.Unlock()
	c.exclude(diverged)
	c.sendDiverged(diverged)
}

// capAtDivergence limits a watermark of a publisher to the numbers that are proven equal, even if
// no peer counts for acks.
func (l *Links) capAtDivergence(publisher, watermark uint64) uint64 {
	if from := l.o.Journal.Diverged(publisher); from > 0 && !failpoint.On(failpoint.R11DivergedSafe) {
		return min(watermark, from-1)
	}
	return watermark
}

// An equality is the result of comparing journals with the present process of a peer. It is guarded
// by Links.mu.
type equality struct {
	run    uint64          // random number of the peer's process
	proven bookmark.Vector // up to there both have the same messages
	// unknown holds the publishers that one of the two hellos named, and that were not found equal
	// since. If the CRCs of such a publisher differ, that does not prove two contents: damage or an
	// earlier configuration may be the cause.
	unknown    map[uint64]bool
	allUnknown bool // every publisher is unknown, because a journal was damaged when the two met
}

// reset starts over if the peer runs as another process.
func (q *equality) reset(ours, theirs *Hello) {
	if q.run == theirs.Run {
		return
	}
	*q = equality{
		run: theirs.Run, proven: make(bookmark.Vector), unknown: make(map[uint64]bool),
		allUnknown: ours.Damaged || theirs.Damaged,
	}
	for _, states := range [][]journal.PublisherState{ours.States, theirs.States} {
		for _, s := range states {
			if s.Have > 0 {
				q.unknown[s.Publisher] = true
			}
		}
	}
}

// noteEqual records that both sides have the same messages up to b.
func (q *equality) noteEqual(b bookmark.Bookmark) {
	q.proven.Raise(b)
	delete(q.unknown, b.Publisher)
}

// isCertain reports whether different CRCs prove different contents.
func (q *equality) isCertain(publisher uint64) bool {
	return q.proven[publisher] > 0 || !q.allUnknown && !q.unknown[publisher]
}

// isOtherPublisher reports whether a peer has another publisher under an id that is known here: one
// with another check, or of another owner (R10). The two count as one publisher that has diverged
// from its first number on, because no information about the id from one side may count for the
// other. Two owners follow from the same records only if two users have published the same messages.
func (c *conn) isOtherPublisher(ours, theirs *journal.PublisherState) bool {
	twoOwners := ours.Owner != theirs.Owner && ours.Owner != "" && theirs.Owner != "" && !failpoint.On(failpoint.R10OwnersIgnored)
	if twoOwners && c.l.o.Journal.Diverged(theirs.Publisher) == 0 {
		c.l.o.Log.Error("DIVERGED: a publisher belongs to another user on the peer", "peer", c.theirs.Name, "publisher", theirs.Publisher, "user", ours.Owner, "peer_user", theirs.Owner)
	}
	return twoOwners || bookmark.ChecksDiffer(ours.Check, theirs.Check)
}

// compareStates finds the publishers that both sides have up to the same sequence and whose running
// CRCs differ (R11). So it finds an identity with two contents even if the identity is too old for
// a direct comparison of contents. The error is the journal's.
func (l *Links) compareStates(c *conn, theirs []journal.PublisherState, damaged bool) error {
	if damaged || l.o.Journal.Damage() != nil {
		return nil
	}
	var found []bookmark.Bookmark
	for _, s := range theirs {
		ours, known := l.o.Journal.State(s.Publisher)
		if !known || ours.Have != s.Have || l.o.Journal.Diverged(s.Publisher) > 0 { // not ours.Diverged, which may not be durable yet
			continue
		}
		if from, differs := l.compareState(c, &ours, &s); differs {
			found = append(found, bookmark.Bookmark{Publisher: s.Publisher, Sequence: from})
		}
	}
	return l.noteDiverged(found)
}

// compareState compares the states of a publisher at the same number. If the contents certainly
// differ, it returns the first number that is not proven equal.
func (l *Links) compareState(c *conn, ours, theirs *journal.PublisherState) (from uint64, differs bool) {
	l.mu.Lock()
	defer l.unlockAndNotify()
	p, publisher := l.peers[c.theirs.Name], theirs.Publisher
	switch {
	case ours.RunningCRC == 0 || theirs.RunningCRC == 0: // one side does not know its CRC
		return 0, false
	case ours.RunningCRC == theirs.RunningCRC:
		p.equality.noteEqual(bookmark.Bookmark{Publisher: publisher, Sequence: theirs.Have})
		return 0, false
	}
	certain := p.equality.run == c.theirs.Run && p.equality.isCertain(publisher) && c.ours.CRCTopics == c.theirs.CRCTopics
	if !p.differing[publisher] {
		p.countDiffering(publisher)
		l.deferLocked(func() {
			l.o.Log.Error("DIVERGED: the peer has, or may have, other messages of a publisher under the same numbers, up to this sequence",
				"peer", p.name, "publisher", publisher, "sequence", theirs.Have, "certain", certain)
		})
	}
	return p.equality.proven[publisher] + 1, certain
}

// countDiffering counts, once, a publisher of which the peer has other contents.
func (p *peer) countDiffering(publisher uint64) {
	if p.differing[publisher] {
		return
	}
	if p.differing == nil {
		p.differing = make(map[uint64]bool)
	}
	p.differing[publisher] = true
	p.diverged++
}

// firstUnproven returns the first number of b's publisher that is not proven equal, given that the
// records at b differ.
func (c *conn) firstUnproven(b bookmark.Bookmark) uint64 {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.peer.countDiffering(b.Publisher)
	return min(b.Sequence, c.peer.equality.proven[b.Publisher]+1)
}

// crcTopicsHash returns a hash of the topics that running CRCs cover here. These are the topics
// that every destination gets. Differing CRCs prove differing contents only if the hashes of both
// sides are equal.
func (l *Links) crcTopicsHash() uint32 {
	var lists []string
	for _, p := range l.dests {
		if p.topics != nil {
			lists = append(lists, fmt.Sprintf("%q", p.topics))
		}
	}
	if len(lists) == 0 {
		return 0 // all topics
	}
	slices.Sort(lists)
	return crc.Bytes(0, []byte(fmt.Sprint(slices.Compact(lists))))
}
