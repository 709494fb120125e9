package replica

import (
	"maps"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// An Outcome says how far an instance that starts has come.
type Outcome uint8

const (
	// Waiting: clients are not to be served yet.
	Waiting Outcome = iota
	// CaughtUp: the journal has what the peers had when they said hello.
	CaughtUp
	// TimedOut: a peer could not be reached or brought nothing for too long.
	TimedOut
)

// Rejoin decides when an instance that starts may serve clients (R6), and
// when a damaged journal has got all that its peers can give (R8). Times are
// counted from the start of the process. It isn't safe for concurrent use.
type Rejoin struct {
	timeout time.Duration
	damaged bool
	intact  bool // what intact peers have beside their goals does not matter
	peers   map[string]*rejoining
}

// rejoining is one peer that is waited for.
type rejoining struct {
	sync     bool
	met      bool            // it has said hello
	goal     bookmark.Vector // what it has and we don't
	deadline time.Duration   // put off by each record of goal
	done     bool

	// Of two damaged journals each may still find what the other lacks, so
	// each waits until neither has anything to give: until all of ours is
	// acknowledged and a heartbeat behind that brought nothing new.
	damaged bool
	ours    bookmark.Vector
	acked   bookmark.Vector

	intact bool            // it has what it has acknowledged, as its hello said
	lacks  bookmark.Vector // what such a one has and we don't, whether or not it sends that
}

// NewRejoin returns a Rejoin that waits for nobody yet. timeout bounds the
// wait for each peer; it doesn't while our journal is damaged.
func NewRejoin(timeout time.Duration, damaged bool) *Rejoin {
	return &Rejoin{timeout: timeout, damaged: damaged, peers: make(map[string]*rejoining)}
}

// Await adds a configured destination.
func (r *Rejoin) Await(name string, sync bool) {
	r.peers[name] = &rejoining{sync: sync, deadline: r.timeout}
}

// Forget says that a peer will not come.
func (r *Rejoin) Forget(name string) {
	if p := r.peers[name]; p != nil && !p.met {
		delete(r.peers, name)
	}
}

// Hello says that a peer is connected: what it has, and whether it sends it.
// A later hello of the same peer replaces the earlier one: what its disk has
// lost since cannot come. Reached must be called with what the journal has.
func (r *Rejoin) Hello(now time.Duration, peer *Hello) {
	p := r.peers[peer.Name]
	if p == nil {
		p = new(rejoining)
		r.peers[peer.Name] = p
	}
	want, durable := make(bookmark.Vector), make(bookmark.Vector)
	for _, s := range peer.States {
		want.Raise(bookmark.Bookmark{Publisher: s.Publisher, Sequence: s.Have})
		durable[s.Publisher] = s.Durable
	}
	p.intact, p.lacks = peer.Intact, nil
	if peer.Intact && !r.intact {
		p.lacks = want.Clone()
	}
	if p.done {
		return
	}
	if !p.met {
		p.deadline = now + r.timeout
	}
	p.met, p.goal = true, want
	p.damaged, p.acked, p.ours = r.damaged && peer.Damaged, durable, make(bookmark.Vector)
	if !peer.Outbound {
		p.goal, p.damaged = nil, false // nothing comes from it
	}
}

// Told says that our hello told a peer b: what that covers does not come, even
// if retention has forgotten its publisher here since.
func (r *Rejoin) Told(name string, b bookmark.Bookmark) {
	if p := r.peers[name]; p != nil {
		p.goal.Reach(b)
		p.lacks.Reach(b)
	}
}

// Reached says that the journal has everything up to b, and reports whether
// Outcome may have changed. It is not progress.
func (r *Rejoin) Reached(b bookmark.Bookmark) (changed bool) {
	for _, p := range r.peers {
		p.give(b)
		for _, goal := range [...]bookmark.Vector{p.goal, p.lacks} {
			if len(goal) > 0 {
				goal.Reach(b)
				changed = changed || len(goal) == 0
			}
		}
	}
	return changed
}

// Appended says that a record was taken, and reports the same.
func (r *Rejoin) Appended(now time.Duration, b bookmark.Bookmark) (changed bool) {
	for _, p := range r.peers {
		if _, ok := p.goal[b.Publisher]; ok {
			p.deadline = now + r.timeout
		}
	}
	return r.Reached(b)
}

// give notes what a damaged peer is to acknowledge.
func (p *rejoining) give(b bookmark.Bookmark) {
	if p.damaged && !p.acked.Covers(b) {
		p.ours.Raise(b)
	}
}

// Acked says that a peer has everything up to b on its disk.
func (r *Rejoin) Acked(name string, b bookmark.Bookmark) {
	p := r.peers[name]
	if p == nil || !p.damaged {
		return
	}
	p.acked.Raise(b)
	p.ours.Reach(b)
}

// Beat says what a peer's heartbeat did: how far it has the publishers that
// moved, have being how far we have them, whether there are more of them, and
// whether its journal is still damaged. gives says whether we send to it.
func (r *Rejoin) Beat(name string, damaged, more, gives bool, moved []bookmark.Bookmark, have bookmark.Vector) {
	p := r.peers[name]
	if p == nil || p.done || !p.damaged {
		return
	}
	for _, b := range moved {
		if !have.Covers(b) {
			p.goal.Raise(b)
		}
	}
	quiet := !more && len(p.goal) == 0 && (len(p.ours) == 0 || !gives)
	if !damaged || quiet {
		p.damaged = false
	}
}

// Outcome says how it stands.
func (r *Rejoin) Outcome(now time.Duration) Outcome {
	if mut.On(mut.R6ServeAtOnce) {
		return CaughtUp
	}
	met, waits, late := false, false, false
	for _, p := range r.peers { // all of them: in what order must not matter
		p.done = p.done || p.met && len(p.goal) == 0 && !p.damaged
		switch {
		case p.done:
			met = true
		case r.damaged && p.sync, !p.expired(now):
			waits = true
		default:
			late = true
		}
	}
	switch {
	case waits, r.damaged && !met:
		return Waiting
	case late:
		return TimedOut
	}
	return CaughtUp
}

func (p *rejoining) expired(now time.Duration) bool {
	return now >= p.deadline && !mut.On(mut.R6WaitForEver)
}

// Whole reports whether the journal has got all that an intact peer had.
func (r *Rejoin) Whole() bool {
	for _, p := range r.peers {
		if p.intact && len(p.lacks) == 0 {
			return true
		}
	}
	return false
}

func vectorOf(states []journal.State) bookmark.Vector {
	v := make(bookmark.Vector, len(states))
	for _, s := range states {
		v[s.Publisher] = s.Have
	}
	return v
}

// Due returns when Outcome may change by time alone.
func (r *Rejoin) Due(now time.Duration) (at time.Duration, ok bool) {
	for _, p := range r.peers {
		if !p.done && p.deadline > now && (!ok || p.deadline < at) {
			at, ok = p.deadline, true
		}
	}
	return at, ok
}

// Missing returns the peers that are still waited for, sorted.
func (r *Rejoin) Missing() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(r.peers)) {
		if !r.peers[name].done {
			names = append(names, name)
		}
	}
	return names
}
