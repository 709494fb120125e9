package replica

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A Standing says whether this instance has everything that its group has acknowledged, so that
// the other instances can be stopped. It has, as far as the links can tell, if each peer that is
// linked synchronously, in either direction, is connected, replicates here, has acks that wait for
// this instance, and has had all of them, as its last heartbeat says. The heartbeat is at most
// maxHeardIntervals intervals old.
type Standing struct {
	Code   string // why it has not, one of the constants below; empty: it has
	Peer   string // the peer that the code is about; empty: none
	Reason string // the code for people
}

// Codes of a Standing.
const (
	StandsAlone      = "alone"       // the instance does not replicate
	StandsAsync      = "async"       // no peer's acks wait for this instance
	StandsOneWay     = "one_way"     // the instances of a synchronous link do not replicate to each other
	StandsPeerAway   = "peer_away"   // a peer is not connected, and may have acknowledged messages alone
	StandsNotHeard   = "not_heard"   // a peer's state is not known, or not any more
	StandsCatchingUp = "catching_up" // the instance lacks messages that a peer has acknowledged, or may lack them
	StandsLeftOut    = "left_out"    // a peer acknowledges messages without this instance
)

// maxHeardIntervals is the number of heartbeat intervals for which a heartbeat says the state of a
// peer.
const maxHeardIntervals = 2

// Standing returns the standing of the instance.
func (l *Links) Standing() Standing {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Lone() {
		return Standing{StandsAlone, "", "it does not replicate, so it has only the messages that were published here"}
	}
	paired := false
	for _, name := range slices.Sorted(maps.Keys(l.peers)) {
		p := l.peers[name]
		if !p.inSync() && !failpoint.On(failpoint.InSyncAsync) {
			continue
		}
		paired = true
		if s := l.standingLocked(p, now); s.Code != "" {
			return s
		}
	}
	switch {
	case !paired:
		return Standing{StandsAsync, "", "no peer's acks wait for this instance, so it is behind by the lag of its links"}
	case l.outcome != CaughtUp && !failpoint.On(failpoint.InSyncCatchingUp):
		return Standing{StandsCatchingUp, "", "it has not caught up with its peers since its start"}
	}
	return Standing{}
}

// Paired reports whether a link is synchronous in at least one direction.
func (l *Links) Paired() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.peers {
		if p.inSync() {
			return true
		}
	}
	return false
}

// standingLocked returns the standing towards one peer.
func (l *Links) standingLocked(p *peer, now time.Duration) Standing {
	c := p.conn
	switch {
	case c == nil:
		return Standing{StandsPeerAway, p.name, fmt.Sprintf("%s is away, and may have acknowledged messages that are not here: %s", p.name, p.reason)}
	case failpoint.On(failpoint.InSyncAsync):
		return Standing{}
	case !p.role.inbound:
		return Standing{StandsOneWay, p.name, fmt.Sprintf("%s does not replicate to this instance", p.name)}
	case !p.outbound():
		return Standing{StandsOneWay, p.name, fmt.Sprintf("this instance does not replicate to %s", p.name)}
	case !p.role.sync:
		return Standing{StandsAsync, p.name, fmt.Sprintf("the acks of %s do not wait for this instance", p.name)}
	case !c.heard:
		return Standing{StandsNotHeard, p.name, fmt.Sprintf("%s has not told its state yet", p.name)}
	case c.there == halfLeftOut && !failpoint.On(failpoint.InSyncSingle):
		return Standing{StandsLeftOut, p.name, fmt.Sprintf("%s acknowledges messages without this instance: %s", p.name, c.receiving.text())}
	case c.there != halfSync && c.there != halfLeftOut && !failpoint.On(failpoint.InSyncCatchingUp):
		return Standing{StandsCatchingUp, p.name, fmt.Sprintf("%s has messages that this instance lacks: %s", p.name, c.receiving.text())}
	case now-c.heardAt > maxHeardIntervals*l.o.Heartbeat:
		return Standing{StandsNotHeard, p.name, fmt.Sprintf("%s has not told its state for two heartbeats", p.name)}
	}
	return Standing{}
}

// text describes the progress for people.
func (m *meter) text() string {
	switch h := m.headway(); {
	case h.LeftMS < 0:
		return fmt.Sprintf("about %d records to come", h.Remaining)
	default:
		return fmt.Sprintf("about %d records to come, %v left", h.Remaining, (time.Duration(h.LeftMS) * time.Millisecond).Round(time.Second))
	}
}
