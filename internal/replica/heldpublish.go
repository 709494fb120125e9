package replica

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// heldPublishes are the publishes that wait for answers of the peers, the oldest first (R5, R11).
// They are guarded by Links.mu.
type heldPublishes struct{ held []*heldPublish }

type heldPublish struct{ since time.Duration }

// HoldPublish notes that a publish is held back until the peers have answered. From now on until
// release is called, it counts as waiting for the connected peers.
func (l *Links) HoldPublish() (release func()) {
	h := &heldPublish{l.now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = append(l.held, h)
	if len(l.held) == 1 {
		l.wakeWatch()
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if n := slices.Index(l.held, h); n >= 0 {
			l.held = slices.Delete(l.held, n, n+1)
		}
	}
}

// oldestSinceLocked returns when the oldest wait for p began, false if nothing waits. A held
// publish waits for every connected peer.
func (l *Links) oldestSinceLocked(p *peer) (since time.Duration, waiting bool) {
	since, waiting = p.progress.Oldest()
	switch {
	case p.conn == nil, len(l.held) == 0, failpoint.On(failpoint.R5HeldNotCounted):
		return since, waiting
	case waiting:
		return min(since, l.held[0].since), true
	}
	return l.held[0].since, true
}

// oldestWaitLocked returns the length of the oldest wait for p, 0 if nothing waits.
func (l *Links) oldestWaitLocked(p *peer, now time.Duration) time.Duration {
	since, waiting := l.oldestSinceLocked(p)
	if !waiting {
		return 0
	}
	return max(0, now-since)
}

// MustHoldPublish implements [ledger.Group].
func (l *Links) MustHoldPublish(publisher uint64, answers map[string]uint64) bool {
	if failpoint.On(failpoint.R11AcceptsBeforeAnswer) {
		return false
	}
	state, _ := l.o.Journal.State(publisher)
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.peers {
		have, answered := answers[p.name]
		switch {
		case p.dest.Sync && l.crossingLocked(p, now):
			return true
		case p.conn == nil, p.outbound() && p.ack.Downgraded():
		case !answered && p.syncsLocked():
			return true
		case have > state.Have && p.conn.inbound() && !failpoint.On(failpoint.R11AcceptsWhileBehind):
			return true
		}
	}
	return false
}

// crossingLocked reports whether the link to p is down only until the other of two connections that
// crossed takes its place. Nobody may decide in that moment as if the peer were away.
func (l *Links) crossingLocked(p *peer, now time.Duration) bool {
	return p.conn == nil && p.states.crossing(now) && !failpoint.On(failpoint.R11CrossingIsAway)
}

// syncsLocked reports whether a connected peer sends or gets records synchronously.
func (p *peer) syncsLocked() bool {
	return p.dest.Sync || p.conn.inbound() && p.conn.theirs.Sync
}

// Linked implements [ledger.Group].
func (l *Links) Linked(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peers[name]
	return p != nil && p.conn != nil
}
