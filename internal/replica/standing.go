package replica

import "github.com/holdfast-mq/holdfast/internal/mut"

// A Standing is how an instance stands to the peers that acks wait for.
type Standing uint32

const (
	// Alone: there is nobody to replicate to or from.
	Alone Standing = iota
	// Async: no destination is synchronous, so that acks are of one disk for ever.
	Async
	// CatchingUp: this instance lacks, or may lack, what its peers have (R6).
	CatchingUp
	// Single: a sync destination is left out (R5).
	Single
	// Apart: none is left out, but one is away or lacks what it has not
	// acknowledged yet since it came; acks wait for it.
	Apart
	// InSync: each sync destination has everything and counts.
	InSync
)

// Standing returns how the instance stands at the moment. It takes no lock.
func (l *Links) Standing() Standing { return Standing(l.standing.Load()) }

// standLocked brings the standing up to date and reports whether it has
// changed; then the caller calls stood without the lock.
func (l *Links) standLocked() (changed bool) {
	s := uint32(l.standingLocked())
	return l.standing.Swap(s) != s
}

func (l *Links) standingLocked() Standing {
	switch {
	case l.lone():
		return Alone
	case !l.anySync():
		return Async
	case l.outcome != CaughtUp && !mut.On(mut.R6NotSaid):
		return CatchingUp
	case mut.On(mut.R5SaidInSync):
		return InSync
	case l.marks.Single():
		return Single
	}
	for _, p := range l.dests {
		if p.dest.Sync && p.stateLocked() != "sync" {
			return Apart
		}
	}
	return InSync
}

func (l *Links) anySync() bool {
	for _, p := range l.dests {
		if p.dest.Sync {
			return true
		}
	}
	return false
}

// stood tells that the standing has changed.
func (l *Links) stood(changed bool) {
	if changed && l.o.OnStanding != nil {
		l.o.OnStanding()
	}
}

// SyncPeers returns the names of the sync destinations, as configured.
func (l *Links) SyncPeers() []string {
	var names []string
	for _, p := range l.dests {
		if p.dest.Sync {
			names = append(names, p.name)
		}
	}
	return names
}
