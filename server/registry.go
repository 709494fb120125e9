package server

import (
	"maps"
	"slices"
	"sync"

	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/servercore"
)

// A registry knows the sessions: all of them, who has which name (R11), and
// who must be woken for what.
type registry struct {
	mu          sync.RWMutex
	all         map[*session]struct{} // guarded by mu, like the rest
	names       map[string]*session
	publishers  map[uint64]*session   // by each publisher that a session sends as
	subscribers map[*session]struct{} // wait for the journal
	waiters     map[*session]struct{} // wait for watermarks of publishers that are not theirs
	unknown     int                   // connections not logged on
}

func newRegistry() *registry {
	return &registry{
		all:         make(map[*session]struct{}),
		names:       make(map[string]*session),
		publishers:  make(map[uint64]*session),
		subscribers: make(map[*session]struct{}),
		waiters:     make(map[*session]struct{}),
	}
}

// maxUnauthenticated bounds the connections that have not logged on.
const maxUnauthenticated = 1024

// add adds a connection that has not logged on, false if there are too many.
func (r *registry) add(s *session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unknown >= maxUnauthenticated {
		return false
	}
	r.unknown++
	r.all[s] = struct{}{}
	return true
}

// loggedOn notes that a connection no longer counts as unauthenticated.
func (r *registry) loggedOn(*session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unknown--
}

// remove forgets a session.
func (r *registry) remove(s *session, loggedOn bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !loggedOn {
		r.unknown--
	}
	delete(r.all, s)
	delete(r.subscribers, s)
	delete(r.waiters, s)
	r.releaseLocked(s)
}

// releaseLocked gives the name and the publishers of s free, where they are still its own.
func (r *registry) releaseLocked(s *session) {
	if r.names[s.claim.Name] == s {
		delete(r.names, s.claim.Name)
	}
	for _, p := range []uint64{s.claim.Publisher, s.unsequenced} {
		if r.publishers[p] == s {
			delete(r.publishers, p)
		}
	}
}

// claim gives s the name it logs on with, or says that it can't have it.
// losers are the sessions it takes it from; the caller fences them.
func (r *registry) claim(s *session) (losers []*session, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, old := range r.rivalsLocked(s.claim) {
		if servercore.ContestHere(old.claim, s.claim) != servercore.NewWins {
			return nil, false
		}
		losers = append(losers, old)
	}
	for _, old := range losers {
		r.releaseLocked(old)
	}
	r.names[s.claim.Name] = s
	if s.claim.Publisher != 0 {
		r.publishers[s.claim.Publisher] = s
	}
	r.publishers[s.unsequenced] = s
	return losers, true
}

// rivalsLocked returns the sessions that can't live beside c.
func (r *registry) rivalsLocked(c servercore.Claim) []*session {
	if mut.On(mut.R11NoFence) {
		return nil
	}
	var rivals []*session
	if old := r.names[c.Name]; old != nil {
		rivals = append(rivals, old)
	}
	if old := r.publishers[c.Publisher]; c.Publisher != 0 && old != nil && (len(rivals) == 0 || rivals[0] != old) {
		rivals = append(rivals, old)
	}
	return rivals
}

// rivals returns the sessions that can't live beside c.
func (r *registry) rivals(c servercore.Claim) []*session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.rivalsLocked(c)
}

// onNotice closes the session that a logon on a peer replaces (R11). The
// sessions that win tell the peer once more, so that it hears of them
// whichever notice came first. When it returns the loser takes nothing more.
func (s *Server) onNotice(n replica.Notice) (refused bool) {
	there := servercore.Claim{Name: n.ClientName, User: n.User, Publisher: n.Publisher, Life: n.Life, Counter: n.Counter, Instance: n.Instance}
	for _, here := range s.registry.rivals(there) {
		switch servercore.ContestAcross(here.claim, there, here.wasAnnounced()) {
		case servercore.NewWins:
			s.counts.fenced.Add(1)
			here.log.Warn(servercore.Takeover(here.claim, there), "instance", n.Instance)
			here.fence()
		case servercore.OldWins:
			here.announceAgain()
		case servercore.OtherUser:
			here.log.Warn("another user asks for the name elsewhere and is refused", "instance", n.Instance, "user", n.User)
			refused = true
		}
	}
	return refused
}

// subscribes notes whether a session waits for the journal, and whether for
// watermarks of any publisher.
func (r *registry) subscribes(s *session, journal, watermarks bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.all[s]; !known {
		return
	}
	setMember(r.subscribers, s, journal)
	setMember(r.waiters, s, watermarks)
}

func setMember(set map[*session]struct{}, s *session, in bool) {
	if in {
		set[s] = struct{}{}
		return
	}
	delete(set, s)
}

// connected returns the publishers that have a session.
func (r *registry) connected() []uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Keys(r.publishers))
}

// publisher returns the session that sends as a publisher, nil if there is none.
func (r *registry) publisher(publisher uint64) *session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.publishers[publisher]
}

func (r *registry) wakeSubscribers() { r.each(&r.subscribers, (*session).signal) }
func (r *registry) wakeWaiters()     { r.each(&r.waiters, (*session).signal) }
func (r *registry) wakeAll()         { r.each(&r.all, (*session).signal) }

// each calls f, which doesn't block, for each session of a set.
func (r *registry) each(set *map[*session]struct{}, f func(*session)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for s := range *set {
		f(s)
	}
}

// list returns the sessions of a set.
func (r *registry) list(set *map[*session]struct{}) []*session {
	var list []*session
	r.each(set, func(s *session) { list = append(list, s) })
	return list
}

// drain, close and abandon end all sessions: when their acks are out, now, or
// without another byte.
func (r *registry) drain() {
	for _, s := range r.list(&r.all) {
		s.drain()
	}
}

func (r *registry) close() {
	for _, s := range r.list(&r.all) {
		s.end("the instance stops", s.stopping())
	}
}

func (r *registry) abandon() {
	for _, s := range r.list(&r.all) {
		s.abandon()
	}
}
