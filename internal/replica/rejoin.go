package replica

import (
	"maps"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// An Outcome is the progress of an instance's start.
type Outcome uint8

const (
	// Waiting: clients must not be served yet.
	Waiting Outcome = iota
	// CaughtUp: the journal has everything that the peers had when they said hello.
	CaughtUp
	// TimedOut: a peer could not be reached, or brought nothing new for too long.
	TimedOut
)

// Rejoin decides when a starting instance may serve clients (R6), and when a damaged journal has
// everything that its peers can give (R8). Times count from the start of the process. A Rejoin is
// not safe for concurrent use.
type Rejoin struct {
	timeout time.Duration
	damaged bool
	intact  bool // this instance is intact, so the missing records need not be known
	peers   map[string]*awaitedPeer
}

// An awaitedPeer is the state of one peer that the start waits for.
type awaitedPeer struct {
	sync     bool
	met      bool            // it has said hello
	goal     bookmark.Vector // sequences that it has and we lack
	deadline time.Duration   // put off by each record of goal
	done     bool

	// If both journals are damaged, each side may still find records that the other lacks. So each
	// side waits until neither can give anything more: until the peer has acknowledged all of our
	// records, and a later heartbeat brought nothing new.
	damaged bool
	unacked bookmark.Vector
	acked   bookmark.Vector

	intact  bool            // it has everything that it has acknowledged, as its hello said
	missing bookmark.Vector // sequences that an intact peer has and we lack, whether or not it sends them
}

// NewRejoin returns a Rejoin without peers. timeout bounds the wait for each peer. While our
// journal is damaged, it bounds neither the wait for a sync destination nor that for a first peer.
func NewRejoin(timeout time.Duration, damaged bool) *Rejoin {
	return &Rejoin{timeout: timeout, damaged: damaged, peers: make(map[string]*awaitedPeer)}
}

// Await adds a peer to wait for. sync says whether it is a sync destination.
func (r *Rejoin) Await(name string, sync bool) {
	r.peers[name] = &awaitedPeer{sync: sync, deadline: r.timeout}
}

// Forget drops a peer that will not come.
func (r *Rejoin) Forget(name string) {
	if p := r.peers[name]; p != nil && !p.met {
		delete(r.peers, name)
	}
}

// Hello records the hello of a connected peer: the sequences that it has, and whether it sends
// them. A later hello of the same peer replaces the earlier one, because records that its disk has
// lost since then cannot come. After Hello the caller must call Reached with the sequences of the
// journal.
func (r *Rejoin) Hello(now time.Duration, peer *Hello) {
	p := r.peers[peer.Name]
	if p == nil {
		p = new(awaitedPeer)
		r.peers[peer.Name] = p
	}
	goal, durable := make(bookmark.Vector), make(bookmark.Vector)
	for _, s := range peer.States {
		goal.Raise(bookmark.Bookmark{Publisher: s.Publisher, Sequence: s.Have})
		durable[s.Publisher] = s.Durable
	}
	p.intact, p.missing = peer.Intact, nil
	if peer.Intact && !r.intact {
		p.missing = goal.Clone()
	}
	if p.done {
		return
	}
	if !p.met {
		p.deadline = now + r.timeout
	}
	p.met, p.goal = true, goal
	p.damaged, p.acked, p.unacked = r.damaged && peer.Damaged, durable, make(bookmark.Vector)
	if !peer.Outbound {
		p.goal, p.damaged = nil, false // nothing comes from it
	}
}

// NotExpected records that a peer will not send the messages up to b, because our hello said that we
// have them. The start must not wait for them, even if this instance has forgotten the publisher
// since the hello.
func (r *Rejoin) NotExpected(name string, b bookmark.Bookmark) {
	if p := r.peers[name]; p != nil {
		p.goal.RemoveReached(b)
		p.missing.RemoveReached(b)
	}
}

// Reached records that the journal has everything up to b. It reports whether Outcome may have
// changed. It does not count as progress.
func (r *Rejoin) Reached(b bookmark.Bookmark) (changed bool) {
	for _, p := range r.peers {
		p.expectAck(b)
		for _, goal := range [...]bookmark.Vector{p.goal, p.missing} {
			if len(goal) > 0 {
				goal.RemoveReached(b)
				changed = changed || len(goal) == 0
			}
		}
	}
	return changed
}

// Appended records that a record was appended, which is progress. It reports the same as Reached.
func (r *Rejoin) Appended(now time.Duration, b bookmark.Bookmark) (changed bool) {
	for _, p := range r.peers {
		if _, ok := p.goal[b.Publisher]; ok {
			p.deadline = now + r.timeout
		}
	}
	return r.Reached(b)
}

// expectAck records a sequence that a damaged peer has yet to acknowledge.
func (p *awaitedPeer) expectAck(b bookmark.Bookmark) {
	if p.damaged && !p.acked.Covers(b) {
		p.unacked.Raise(b)
	}
}

// Acked records that a peer has everything up to b on its disk.
func (r *Rejoin) Acked(name string, b bookmark.Bookmark) {
	p := r.peers[name]
	if p == nil || !p.damaged {
		return
	}
	p.acked.Raise(b)
	p.unacked.RemoveReached(b)
}

// Heartbeat records a peer's heartbeat. damaged says whether its journal is still damaged. moved
// has its numbers of the publishers that moved, and have has our numbers of the same publishers.
// more says whether other publishers moved as well. sends says whether we send records to the
// peer.
func (r *Rejoin) Heartbeat(name string, damaged, more, sends bool, moved []bookmark.Bookmark, have bookmark.Vector) {
	p := r.peers[name]
	if p == nil || p.done || !p.damaged {
		return
	}
	for _, b := range moved {
		if !have.Covers(b) {
			p.goal.Raise(b)
		}
	}
	quiet := !more && len(p.goal) == 0 && (len(p.unacked) == 0 || !sends)
	if !damaged || quiet {
		p.damaged = false
	}
}

// Outcome returns the present outcome.
func (r *Rejoin) Outcome(now time.Duration) Outcome {
	if failpoint.On(failpoint.R6ServeAtOnce) {
		return CaughtUp
	}
	met, waiting, late := false, false, false
	for _, p := range r.peers { // over all peers, so that their order does not matter
		p.done = p.done || p.met && len(p.goal) == 0 && !p.damaged
		switch {
		case p.done:
			met = true
		case r.damaged && p.sync, !p.expired(now):
			waiting = true
		default:
			late = true
		}
	}
	switch {
	case waiting, r.damaged && !met:
		return Waiting
	case late:
		return TimedOut
	}
	return CaughtUp
}

func (p *awaitedPeer) expired(now time.Duration) bool {
	return now >= p.deadline && !failpoint.On(failpoint.R6WaitForEver)
}

// Complete reports whether the journal has everything that some intact peer had.
func (r *Rejoin) Complete() bool {
	for _, p := range r.peers {
		if p.intact && len(p.missing) == 0 {
			return true
		}
	}
	return false
}

func haveVector(states []journal.PublisherState) bookmark.Vector {
	v := make(bookmark.Vector, len(states))
	for _, s := range states {
		v[s.Publisher] = s.Have
	}
	return v
}

// Due returns when Outcome may next change by time alone.
func (r *Rejoin) Due(now time.Duration) (at time.Duration, ok bool) {
	for _, p := range r.peers {
		if !p.done && p.deadline > now && (!ok || p.deadline < at) {
			at, ok = p.deadline, true
		}
	}
	return at, ok
}

// Awaited returns the sorted names of the peers that are still awaited.
func (r *Rejoin) Awaited() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(r.peers)) {
		if !r.peers[name].done {
			names = append(names, name)
		}
	}
	return names
}
