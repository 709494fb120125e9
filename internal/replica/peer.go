package replica

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/topic"
)

// A peer is an instance that we replicate to, that replicates to us, or both. The fields from conn
// on are guarded by Links.mu.
type peer struct {
	name    string
	dest    Destination // zero if the peer is no destination
	index   int         // index of the destination in Watermarks; -1: no destination
	topics  []string    // of the destination, sorted
	carries func(topic []byte) bool

	conn      *conn         // nil: the link is down
	awaySince time.Duration // when the link went down, or the start
	role      linkRole
	processes
	progress   *Progress
	ack        *AckState
	backlog    bookmark.Vector // messages that the peer lacked when it connected or began to count again, and still lacks
	refusals   Refusals
	reason     string           // why the link is down
	givenUp    bool             // segments are no longer kept for the peer
	neededFrom journal.Position // the earliest position of a record that it has not acknowledged
	comparisons
	states states // for the log

	degraded degradedInterval // while it is downgraded
	counters
}

// comparisons are the results of comparing the statements of the peer with this instance.
type comparisons struct {
	equality    equality
	permissions statedPermissions
}

// counters are the counters for Status.
type counters struct {
	sent, received atomic.Uint64 // records
	refused        atomic.Uint64 // connections, and records on them
	diverged       uint64        // publishers
	volume
	ackedAlone uint64        // messages settled without it
	singleFor  time.Duration // length of its former downgrades

	differing map[uint64]bool // the publishers counted in diverged
}

// A degradedInterval is the interval during which a destination is downgraded.
type degradedInterval struct {
	begin  time.Time
	ranges map[uint64]journal.PublisherRange // settled without the destination
	dirty  bool                              // not yet in the journal
	alone  uint64                            // ackedAlone at its begin
}

// downgradeBuckets is the number of buckets into which the time until a downgrade is divided.
const downgradeBuckets = maxBuckets

func newDestination(d Destination, index int) (*peer, error) {
	topics := normalTopics(d.Topics)
	carried, err := topic.NewSet(topics)
	if err != nil {
		return nil, fmt.Errorf("destination %q: %w", d.Name, err)
	}
	return &peer{
		name: d.Name, dest: d, index: index, topics: topics, carries: carried.Contains,
		progress: NewProgress(d.DowngradeAfter / downgradeBuckets),
		ack:      NewAckState(d.DowngradeAfter, d.UpgradeWithin),
		reason:   "not connected yet",
	}, nil
}

// normalTopics returns the patterns sorted and without repetitions, for comparison; nil: all.
func normalTopics(patterns []string) []string {
	if len(patterns) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(patterns)))
}

// outbound reports whether we replicate to the peer.
func (p *peer) outbound() bool { return p.index >= 0 }

// hello returns our hello to a peer. A nil p stands for an instance that is no peer of ours.
func (l *Links) hello(p *peer) *Hello {
	h := &Hello{
		Name: l.o.Name, Run: l.o.Run, Group: l.o.Group, Digest: l.o.Digest,
		Damaged: l.o.Journal.Damage() != nil, CRCTopics: l.crcTopicsHash(), Decree: l.o.Journal.Decree(), GroupClock: l.o.Journal.GroupClock(),
		Permissions: l.ownPermissions(),
	}
	l.setClusterFields(h)
	if p != nil && p.outbound() {
		h.Outbound, h.Sync, h.Topics = true, p.dest.Sync, p.topics
	}
	return h
}

// peer returns the configured peer of a name, or nil.
func (l *Links) peer(name string) *peer { return l.peers[name] }

// connected makes c the connection of the peer that has sent its hello on it, unless there is an
// objection.
func (l *Links) connected(c *conn) error {
	if err := c.findDiverged(); err != nil { // before anything of its hello counts
		return err
	}
	if err := l.o.Journal.MergeGroupClock(c.theirs.GroupClock); err != nil { // before any record that it sends
		return err
	}
	c.noteClosingInHello()
	now, permissions := l.now(), l.ownPermissions()
	l.mu.Lock()
	p, old, err := l.admitLocked(c)
	if err != nil {
		l.unlockAndNotify()
		return err
	}
	if !failpoint.On(failpoint.R14HelloWithoutPermissions) {
		p.permissions.state(c.theirs.Permissions, permissions, now)
	}
	changed := l.becomeUpLocked(p, c, now)
	role := p.role
	second := old != nil && old.theirs.Run == c.theirs.Run // of two connections that crossed
	l.tellUpLocked(c, now, second)
	l.unlockAndNotify()

	if changed {
		l.storeRole(c.theirs.Name, role)
	}
	l.noteReturned(c.theirs.Name)
	if old != nil {
		old.closeWith(&RefusedError{Code: refuseCrossed, Reason: "another connection takes its place"})
	}
	l.reportReached()
	l.excludeDiverged(c)
	l.notifyWatermarks(nil)
	close(c.up)
	c.out.Wake()
	l.wakeWatch()
	return nil
}

// becomeUpLocked makes c the connection of p. changed reports whether the peer's half of the link
// differs from its earlier hellos.
func (l *Links) becomeUpLocked(p *peer, c *conn, now time.Duration) (changed bool) {
	c.peer, p.conn = p, c
	changed, p.reason = p.role.update(c.theirs), ""
	if p.stopReport = (stopReport{}); l.stopping.current() != phaseRunning {
		c.sendPhaseLocked()
	}
	p.noteRun(c.theirs.Run)
	if p.outbound() {
		l.beginDestinationLocked(p, c)
	}
	if l.rejoining.Load() {
		l.rejoin.Hello(now, c.theirs)
		for _, s := range c.ours.States {
			l.rejoin.NotExpected(c.theirs.Name, bookmark.Bookmark{Publisher: s.Publisher, Sequence: s.Have})
		}
	}
	return changed
}

// admitLocked finds the peer of c and decides whether c may become its connection. old is the
// connection that c replaces, or nil.
func (l *Links) admitLocked(c *conn) (p *peer, old *conn, err error) {
	if l.closed {
		return nil, nil, ErrClosed
	}
	if l.announcedIntact && c.neitherIntact() {
		return nil, nil, errIntact
	}
	for _, other := range l.peers {
		if other.conn != nil && other.role.inbound {
			if err := CheckInboundTopics(c.theirs, other.name, other.conn.theirs.Topics); err != nil {
				return nil, nil, err
			}
		}
	}
	p = l.peers[c.theirs.Name]
	return p, p.conn, l.checkReplaceLocked(p, c)
}

// checkReplaceLocked returns an error if c may not replace the present connection of its peer,
// because the connections of one process have crossed, or because c belongs to an earlier process.
func (l *Links) checkReplaceLocked(p *peer, c *conn) error {
	if p.conn == nil {
		return nil
	}
	if p.conn.theirs.Run == c.theirs.Run {
		if !Replaces(c.dialler(), p.conn.dialler()) {
			return &RefusedError{Code: refuseCrossed, Reason: "the other connection stays"}
		}
		return nil
	}
	replaced, first := p.noteReplaced(l.now(), c.theirs.Run)
	if first {
		l.deferLocked(func() {
			l.o.Log.Error("two processes run under the name of a peer, and the later one is linked: stop one of them, or give it another name", "peer", p.name)
		})
	}
	if replaced {
		return refused("two processes are named %q, and the later one is linked: stop one of them, or give it another name", p.name)
	}
	return nil
}

// beginDestinationLocked begins a destination's watermarks with the durable numbers of its hello.
func (l *Links) beginDestinationLocked(p *peer, c *conn) {
	durable, lost := make(bookmark.Vector, len(c.theirs.States)), 0
	ours := c.keptVector()
	for _, s := range c.theirs.States {
		durable[s.Publisher] = s.Durable
	}
	for publisher, s := range p.progress.Acknowledged() {
		if durable[publisher] < s && ours[publisher] > 0 && l.o.Journal.Diverged(publisher) == 0 {
			lost++
		}
	}
	if lost > 0 {
		l.deferLocked(func() {
			l.o.Log.Warn("the peer has come back with less than it had acknowledged", "peer", p.name, "publishers", lost)
		})
	}
	l.watermarks.Connected(p.index, durable)
	for publisher, s := range durable {
		p.progress.Acked(bookmark.Bookmark{Publisher: publisher, Sequence: s})
	}
	p.backlog = ours.Above(durable)
	p.givenUp = false
}

// reportReached tells Rejoin how far the journal had come when the goal was set. Appended reports
// the records after that.
func (l *Links) reportReached() {
	if !l.rejoining.Load() {
		return
	}
	states := l.o.Journal.States()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range states {
		l.rejoin.Reached(bookmark.Bookmark{Publisher: s.Publisher, Sequence: s.Have})
	}
}

// disconnected handles the end of c.
func (l *Links) disconnected(c *conn, cause error) {
	l.pending.remove(c)
	if !c.identified {
		return
	}
	l.mu.Lock()
	l.conns = without(l.conns, c)
	l.dropFromNoticesLocked(c)
	l.dropFromRoundsLocked(c)
	p := c.peer
	if p == nil || p.conn != c {
		l.mu.Unlock()
		return
	}
	now := l.now()
	p.conn, p.awaySince = nil, now
	p.reason = cause.Error()
	l.tellDownLocked(p, now, cause)
	l.countRefusalLocked(p, cause)
	l.updateStopLocked()
	var acked bookmark.Vector
	if p.outbound() {
		p.ack.EndLeaveOut()
		l.watermarks.Disconnected(p.index)
		acked = p.progress.Acknowledged().Clone()
	}
	l.unlockAndNotify()

	if p.outbound() {
		l.findNeededFrom(p, acked)
	}
	l.notifyWatermarks(nil)
	l.wakeWatch()
}

// findNeededFrom finds the position from which an absent destination needs the journal.
func (l *Links) findNeededFrom(p *peer, acked bookmark.Vector) {
	at, err := l.o.Journal.SeekVector(acked)
	if errors.Is(err, journal.ErrClosed) {
		return
	}
	if err != nil {
		l.o.Log.Error("cannot find out from where on an absent peer needs the journal", "peer", p.name, "error", err)
		return
	}
	l.mu.Lock()
	p.neededFrom = at
	l.mu.Unlock()
}

// countRefusalLocked counts a refused record, whichever side refused it.
func (l *Links) countRefusalLocked(p *peer, cause error) {
	if r, refusal := errors.AsType[*RefusedError](cause); !refusal || !r.aboutRecord() {
		return
	}
	p.refused.Add(1)
	if p.refusals.Refused() {
		l.deferLocked(func() {
			l.o.Log.Error("link counts as down: a record on it was refused twice in a row", "peer", p.name, "reason", cause)
		})
	}
}
