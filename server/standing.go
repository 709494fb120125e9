package server

import (
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// standingSpacing is the least time between two messages that tell one client
// how this instance stands to its peers: a link that comes and goes does not
// flood it, and what it is told last is true.
const standingSpacing = time.Second

// standing says how this instance stands to its peers, as on the wire.
func (s *Server) standing() string {
	if s.isStopping() {
		return wire.SyncStopping
	}
	switch s.links.Load().Standing() {
	case replica.Alone:
		return wire.SyncAlone
	case replica.Async:
		return wire.SyncAsync
	case replica.CatchingUp:
		return wire.SyncCatchingUp
	case replica.Single:
		return wire.SyncSingle
	case replica.Apart:
		return wire.SyncApart
	}
	return wire.SyncInSync
}

// onStanding wakes the sessions, whose pumps tell their clients.
func (s *Server) onStanding() { s.registry.wakeAll() }

// introduce puts in a logon ack who this instance is and how it stands.
func (s *session) introduce(a *wire.AckMessage) {
	a.Instance = s.srv.cfg.Name
	a.Peers = strings.Join(s.srv.links.Load().SyncPeers(), ",")
	a.Sync = s.srv.standing()
}

// told notes what the logon ack said; what has changed since is told now.
func (s *session) told(standing string) {
	s.mu.Lock()
	s.standing = standing
	s.mu.Unlock()
	s.signal()
}

// stopping is the last word to a client that knows our extensions, nil to others.
func (s *session) stopping() *wire.AckMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.standing == "" {
		return nil
	}
	return standingAck(wire.SyncStopping)
}

func standingAck(standing string) *wire.AckMessage {
	return &wire.AckMessage{Type: wire.AckProcessed, Success: true, Sync: standing}
}

// standing tells the client how the instance stands to its peers, if that is
// something else than it was told last and time has passed since. Who is told
// that the instance stops is told so at once.
func (p *pump) standing() {
	now := p.s.srv.standing()
	p.late = false
	if now == p.stood {
		return
	}
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	switch told := p.s.standing; {
	case told == "": // not logged on, or without our extensions
	case told == now:
		p.stood = now
	case now != wire.SyncStopping && time.Since(p.stoodAt) < standingSpacing:
		p.late = true
	default:
		p.s.standing, p.stood, p.stoodAt = now, now, time.Now()
		p.ack(standingAck(now))
	}
}

// untilStanding returns how long a change of the standing must still wait.
func (p *pump) untilStanding() time.Duration {
	if !p.late {
		return time.Hour
	}
	return standingSpacing - time.Since(p.stoodAt)
}
