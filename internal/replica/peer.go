package replica

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/topic"
)

// A peer is an instance that we replicate to, that replicates to us, or both. The fields from conn
// on are guarded by Links.mu.
type peer struct {
	name    string
	dest    Destination // zero if the peer is no destination
	index   int         // index of the destination in Watermarks; -1: no destination
	topics  []string    // of the destination, in normal order
	carries func(topic []byte) bool

	conn      *conn         // nil: the link is down
	awaySince time.Duration // when the link went down, or the start
	memory    memory
	processes
	progress *Progress
	ack      *AckState
	behind   bookmark.Vector // messages that the peer lacked when it connected or began to count again, and still lacks
	refusals Refusals
	reason   string           // why the link is down
	givenUp  bool             // the peer no longer holds back segments
	heldFrom journal.Position // the earliest position of a record that it has not acknowledged
	equality equality
	warned   string // the last warning about how the two directions differ

	single degraded // the interval in which it is left out
	counts
}

// counts are the counters for Status.
type counts struct {
	sent, received atomic.Uint64 // records
	refused        atomic.Uint64 // connections, and records on them
	diverged       uint64        // publishers

	differs map[uint64]bool // the publishers counted in diverged
}

// degraded is the interval during which a destination is left out.
type degraded struct {
	begin  time.Time
	ranges map[uint64]journal.Range // settled without the destination
	dirty  bool                     // not yet in the journal
}

// widthParts is the number of moments into which the time until a downgrade is divided.
const widthParts = maxBuckets

func newDestination(d Destination, index int) (*peer, error) {
	topics := normalTopics(d.Topics)
	carried, err := topic.NewSet(topics)
	if err != nil {
		return nil, fmt.Errorf("destination %q: %w", d.Name, err)
	}
	return &peer{
		name: d.Name, dest: d, index: index, topics: topics, carries: carried.Contains,
		progress: NewProgress(d.DowngradeAfter / widthParts),
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

// hello returns our hello to a peer; nil is an instance that is no peer of ours.
func (l *Links) hello(p *peer) *Hello {
	h := &Hello{
		Name: l.o.Name, Run: l.o.Run, Group: l.o.Group, Digest: l.o.Digest,
		Damaged: l.o.Journal.Damage() != nil, Compares: l.compares(), Decree: l.o.Journal.Decree(), Closing: l.o.Journal.Closing(),
	}
	l.tellCluster(h)
	if p != nil && p.outbound() {
		h.Outbound, h.Sync, h.Topics = true, p.dest.Sync, p.topics
	}
	return h
}

// peer returns the configured peer of a name, or nil.
func (l *Links) peer(name string) *peer { return l.peers[name] }

// connected makes c the connection of the peer that said hello on it, unless there is an
// objection.
func (l *Links) connected(c *conn) error {
	if err := c.findDiverged(); err != nil { // before anything of its hello counts
		return err
	}
	if err := l.o.Journal.HearClosing(c.theirs.Closing); err != nil { // before any record that it sends
		return err
	}
	c.takePromises()
	now := l.now()
	l.mu.Lock()
	p, old, err := l.admitLocked(c)
	if err != nil {
		l.mu.Unlock()
		return err
	}
	unequal, news := l.becomeUpLocked(p, c, now)
	m := p.memory
	l.unlock()

	if news {
		l.remember(c.theirs.Name, m)
	}
	l.returned(c.theirs.Name)
	if old != nil {
		old.fail(&RefusedError{Code: refuseCrossed, Reason: "another connection takes its place"})
	}
	if unequal != "" {
		l.o.Log.Warn(unequal, "peer", p.name)
	}
	l.o.Log.Info("link is up", "peer", p.name, "dialled", c.dialled, "outbound", c.ours.Outbound, "inbound", c.theirs.Outbound)
	l.reached()
	l.setApartHere(c)
	l.watermark(nil)
	close(c.up)
	c.out.Wake()
	l.look()
	return nil
}

// becomeUpLocked makes c the connection of p. unequal describes how the two directions differ; it
// is empty if that was reported before. news reports whether the peer's half of the link differs
// from its earlier hellos.
func (l *Links) becomeUpLocked(p *peer, c *conn, now time.Duration) (unequal string, news bool) {
	c.peer, p.conn = p, c
	news, p.reason = p.memory.learn(c.theirs), ""
	if p.stopSaid = (stopSaid{}); l.stopping.now() != running {
		c.tellPhaseLocked()
	}
	p.linked(c.theirs.Run)
	if p.outbound() {
		l.beginLocked(p, c)
	}
	if l.rejoining.Load() {
		l.rejoin.Hello(now, c.theirs)
		for _, s := range c.ours.States {
			l.rejoin.Told(c.theirs.Name, bookmark.Bookmark{Publisher: s.Publisher, Sequence: s.Have})
		}
	}
	if unequal = unequalHalves(c.ours, c.theirs); unequal == p.warned {
		return "", news
	}
	p.warned = unequal
	return unequal, news
}

// admitLocked finds the peer of c and decides whether c may become its connection. old is the
// connection that c replaces, or nil.
func (l *Links) admitLocked(c *conn) (p *peer, old *conn, err error) {
	if l.closed {
		return nil, nil, ErrClosed
	}
	if l.saysIntact && c.nobodyIntact() {
		return nil, nil, errIntact
	}
	for _, other := range l.peers {
		if other.conn != nil && other.memory.inbound {
			if err := CheckInto(c.theirs, other.name, other.conn.theirs.Topics); err != nil {
				return nil, nil, err
			}
		}
	}
	p = l.peers[c.theirs.Name]
	return p, p.conn, l.replacesLocked(p, c)
}

// replacesLocked returns an error if c may not replace the present connection of its peer: both
// belong to the same process and cross, or c belongs to an earlier process.
func (l *Links) replacesLocked(p *peer, c *conn) error {
	if p.conn == nil {
		return nil
	}
	if p.conn.theirs.Run == c.theirs.Run {
		if !Stays(c.dialler(), p.conn.dialler()) {
			return &RefusedError{Code: refuseCrossed, Reason: "the other connection stays"}
		}
		return nil
	}
	back, news := p.comesBack(l.now(), c.theirs.Run)
	if news {
		l.o.Log.Error("two processes run under one name, and the later one is linked: stop one of them, or give it another name", "peer", p.name)
	}
	if back {
		return refused("two processes are named %q, and the later one is linked: stop one of them, or give it another name", p.name)
	}
	return nil
}

// beginLocked begins a destination's watermarks with the durable numbers of its hello.
func (l *Links) beginLocked(p *peer, c *conn) {
	durable, lost := make(bookmark.Vector, len(c.theirs.States)), 0
	ours := c.kept()
	for _, s := range c.theirs.States {
		durable[s.Publisher] = s.Durable
	}
	for publisher, s := range p.progress.Acknowledged() {
		if durable[publisher] < s && ours[publisher] > 0 && l.o.Journal.Diverged(publisher) == 0 {
			lost++
		}
	}
	if lost > 0 {
		l.o.Log.Warn("peer came back with less than it had acknowledged", "peer", p.name, "publishers", lost)
	}
	l.marks.Connected(p.index, durable)
	for publisher, s := range durable {
		p.progress.Acked(bookmark.Bookmark{Publisher: publisher, Sequence: s})
	}
	p.behind = ours.Above(durable)
	p.givenUp = false
}

// reached tells Rejoin how far the journal had come when the goal was set. Appended reports the
// records since then.
func (l *Links) reached() {
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
	l.lobby.leave(c)
	if !c.collected {
		return
	}
	l.mu.Lock()
	l.conns = without(l.conns, c)
	l.unansweredLocked(c)
	l.unofferedLocked(c)
	p := c.peer
	if p == nil || p.conn != c {
		l.mu.Unlock()
		return
	}
	p.conn, p.awaySince = nil, l.now()
	p.reason = cause.Error()
	l.countRefusalLocked(p, cause)
	l.lookAtStopLocked()
	var acked bookmark.Vector
	if p.outbound() {
		l.marks.Ended(p.index)
		acked = p.progress.Acknowledged().Clone()
	}
	l.unlock()

	if !errors.Is(cause, ErrClosed) {
		l.o.Log.Warn("link is down", "peer", p.name, "reason", cause)
	}
	if p.outbound() {
		l.holdFrom(p, acked)
	}
	l.watermark(nil)
	l.look()
}

// holdFrom finds the position from which an absent destination needs the journal.
func (l *Links) holdFrom(p *peer, acked bookmark.Vector) {
	at, err := l.o.Journal.SeekVector(acked)
	if err != nil {
		l.o.Log.Error("looking for what an absent peer needs", "peer", p.name, "error", err)
		return
	}
	l.mu.Lock()
	p.heldFrom = at
	l.mu.Unlock()
}

// countRefusalLocked counts a refused record, whichever side refused it.
func (l *Links) countRefusalLocked(p *peer, cause error) {
	if r, refusal := errors.AsType[*RefusedError](cause); !refusal || !r.aboutRecord() {
		return
	}
	p.refused.Add(1)
	if p.refusals.Refused() {
		l.o.Log.Error("link counts as down: what is sent on it is refused again", "peer", p.name, "reason", cause)
	}
}
