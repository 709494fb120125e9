package servercore

import (
	"bytes"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A Registry indexes the sessions of an instance: all of them, by client name and by publisher
// (R11), and by the events that must wake them. It is safe for concurrent use.
type Registry struct {
	audience atomic.Int64 // number of sessions with subscriptions

	sessions sessionSet

	mu               sync.RWMutex
	names            map[string]*Session   // guarded by mu, like the rest
	publishers       map[uint64]*Session   // by publisher id, up to two per session; never 0
	subscribers      map[*Session]struct{} // sessions to wake when records become durable
	watermarkWaiters map[*Session]struct{} // sessions to wake when the watermarks of any publisher move
	interests        interests             // patterns of the subscribers
	claims           map[uint64]Claim      // highest claim of peers that was answered, by publisher
}

// NewRegistry returns an empty registry for at most limit sessions; 0 means no limit.
func NewRegistry(limit int) *Registry {
	return &Registry{
		sessions:         newSessionSet(limit),
		names:            make(map[string]*Session),
		publishers:       make(map[uint64]*Session),
		interests:        newInterests(),
		subscribers:      make(map[*Session]struct{}),
		watermarkWaiters: make(map[*Session]struct{}),
		claims:           make(map[uint64]Claim),
	}
}

// ReasonEvicted is the reason for ending a connection that makes room for another one.
const ReasonEvicted = "sent no logon, and others wait"

// Admits reports whether a connection from an address may become a session. Refusing a connection
// by this check costs next to nothing.
func (i *Instance) Admits(address string, now time.Time) bool {
	return i.Registry.sessions.admits(address, i.Limits.withDefaults(i.MaxMessage).Unauthenticated, now)
}

// Add adds a connection from an address that has not logged on. It returns false if there are too
// many. If there are too many connections without a logon, it ends one of them to make room.
func (r *Registry) Add(s *Session, address string) bool {
	evicted, ok := r.sessions.add(s, address)
	if evicted != nil {
		s.inst.Counts.TurnedAway.Add(1)
		evicted.Abort(ReasonEvicted)
	}
	return ok
}

// Remove removes a session, which must execute no more commands.
func (r *Registry) Remove(s *Session) {
	s.dropHeldPublish()
	s.leaveUser()
	s.mu.Lock()
	s.account.close()
	s.mu.Unlock()
	r.sessions.remove(s)
	if s.reader.stage == stageConnected {
		return // unauthenticated connections come and go without the lock that others wait for
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.gone = true
	delete(r.subscribers, s)
	delete(r.watermarkWaiters, s)
	r.audience.Store(int64(len(r.subscribers)))
	r.freeNamesLocked(s)
}

// freeNames frees the client name and the publishers of s.
func (r *Registry) freeNames(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.freeNamesLocked(s)
}

// freeNamesLocked frees the client name and the publishers of s, unless another session has taken
// them.
func (r *Registry) freeNamesLocked(s *Session) {
	if r.names[s.client.claim.ClientName] == s {
		delete(r.names, s.client.claim.ClientName)
	}
	for _, p := range []uint64{s.client.claim.Publisher, s.client.unsequenced.ID} {
		if r.publishers[p] == s {
			delete(r.publishers, p)
		}
	}
}

// claim registers s under its client name and publishers, or returns the reason for which it is
// refused. losers are the sessions that s replaces; the caller must fence them.
func (r *Registry) claim(s *Session) (losers []*Session, refusal string) {
	defer r.sessions.logonReceived(s)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, old := range r.rivalsLocked(s.client.claim) {
		switch ContestHere(old.client.claim, s.client.claim) {
		case NewWins:
		case OtherPublisher:
			return nil, wire.ReasonPublisherIDTaken
		default:
			return nil, wire.ReasonNameInUse
		}
		losers = append(losers, old)
	}
	for _, old := range losers {
		r.freeNamesLocked(old)
	}
	r.names[s.client.claim.ClientName] = s
	if s.client.claim.Publisher != 0 {
		r.publishers[s.client.claim.Publisher] = s
	}
	r.publishers[s.client.unsequenced.ID] = s
	return losers, ""
}

// rivalsLocked returns the sessions that cannot exist beside a session with claim c.
func (r *Registry) rivalsLocked(c Claim) []*Session {
	if failpoint.On(failpoint.R11NoFence) {
		return nil
	}
	var rivals []*Session
	for _, old := range []*Session{r.names[c.ClientName], r.publishers[c.Publisher]} {
		if old != nil && !slices.Contains(rivals, old) {
			rivals = append(rivals, old)
		}
	}
	return rivals
}

// rivals returns the sessions that cannot exist beside a session with claim c.
func (r *Registry) rivals(c Claim) []*Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.rivalsLocked(c)
}

// setWakeups sets whether a session must be woken for new durable records, and whether for the
// watermarks of any publisher. It belongs to the writer's half of the session.
func (r *Registry) setWakeups(s *Session, ledger, watermarks bool) {
	now := wakeups{ledger, watermarks}
	if s.writer.wakeups == now {
		return
	}
	s.writer.wakeups = now
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.gone {
		return
	}
	setMember(r.subscribers, s, ledger)
	r.audience.Store(int64(len(r.subscribers)))
	setMember(r.watermarkWaiters, s, watermarks)
}

func setMember(set map[*Session]struct{}, s *Session, in bool) {
	if in {
		set[s] = struct{}{}
		return
	}
	delete(set, s)
}

// Publishers returns the publishers that have a session.
func (r *Registry) Publishers() []uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Keys(r.publishers))
}

// WatermarksMoved wakes the sessions of publishers whose watermarks may have moved; nil means all
// publishers. If there is only one publisher, its session may write its acks at once.
// WatermarksMoved also wakes the sessions that hold a record until it is safe.
func (r *Registry) WatermarksMoved(publishers []uint64) {
	if publishers == nil {
		r.WakeAll()
		return
	}
	for _, p := range publishers {
		switch s := r.sessionOf(p); {
		case s == nil:
		case len(publishers) == 1:
			s.driver.AcksDue()
		default:
			s.driver.Wake()
		}
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for s := range r.watermarkWaiters {
		if s.awaitsSafe.Load() {
			s.driver.Wake()
		}
	}
}

// RecordsReceived tells the sessions of publishers that a link has brought records up to these
// sequences.
func (r *Registry) RecordsReceived(moved []bookmark.Bookmark) {
	for _, b := range moved {
		if s := r.sessionOf(b.Publisher); s != nil && s.LoggedOn() && s.client.claim.Publisher == b.Publisher {
			s.checkOvertaken(b.Sequence)
		}
	}
}

// sessionOf returns the session of a publisher, nil if it has none.
func (r *Registry) sessionOf(publisher uint64) *Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.publishers[publisher]
}

// ClientOf returns the client name of the session of a publisher, empty if it has none.
func (r *Registry) ClientOf(publisher uint64) string {
	if s := r.sessionOf(publisher); s != nil {
		info, _ := s.Info()
		return info.ClientName
	}
	return ""
}

// WakeAll wakes all sessions.
func (r *Registry) WakeAll() {
	for _, s := range r.Sessions() {
		s.driver.Wake()
	}
}

// wakeSubscribers wakes all sessions that wait for new durable records.
func (r *Registry) wakeSubscribers() {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for s := range r.subscribers {
		s.driver.Wake()
	}
}

func (r *Registry) listSubscribers() []*Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Keys(r.subscribers))
}

// Sessions returns all sessions in no particular order.
func (r *Registry) Sessions() []*Session { return r.sessions.list() }

// publishUnlogged queues an unlogged message for the sessions that may have a matching
// subscription.
func (r *Registry) publishUnlogged(m *wire.Message, user []byte) {
	u := &unloggedMessage{
		topic: bytes.Clone(m.Topic), body: bytes.Clone(m.Body),
		correlation: bytes.Clone(m.CorrelationID), headers: bytes.Clone(m.Headers), user: user,
	}
	sessions := make(map[*Session]struct{})
	r.eachInterested(u.topic, func(s *Session) { sessions[s] = struct{}{} })
	for s := range sessions {
		s.queueUnlogged(u)
	}
}
