package servercore

import (
	"bytes"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A Registry knows an instance's sessions: all of them, which one has which
// name (R11), and which ones must be woken for what. Safe for concurrent use.
type Registry struct {
	audience atomic.Int64 // sessions with subscriptions

	arrivals arrivals

	mu          sync.RWMutex
	names       map[string]*Session   // guarded by mu, like the rest
	publishers  map[uint64]*Session   // by each publisher that a session sends as; never 0
	subscribers map[*Session]struct{} // wait for the ledger
	waiters     map[*Session]struct{} // wait for watermarks of publishers that are not theirs
	interests   interests             // of the subscribers
	claims      map[uint64]Claim      // of peers' sessions, the highest of each publisher that was answered
}

// NewRegistry returns a registry without sessions, which takes up to most; 0: no bound.
func NewRegistry(most int) *Registry {
	return &Registry{
		arrivals:    newArrivals(most),
		names:       make(map[string]*Session),
		publishers:  make(map[uint64]*Session),
		interests:   newInterests(),
		subscribers: make(map[*Session]struct{}),
		waiters:     make(map[*Session]struct{}),
		claims:      make(map[uint64]Claim),
	}
}

// ReasonCrowd is why a connection ends that makes room for another one.
const ReasonCrowd = "sent no logon, and others wait"

// Admits reports whether a connection from an address may become a session. It costs
// next to nothing, so that one that may not does so, too.
func (i *Instance) Admits(address string, now time.Time) bool {
	return i.Registry.arrivals.admits(address, i.Limits.withDefaults(i.MaxMessage).Strangers, now)
}

// Add adds a connection from an address that has not logged on, false if there are too
// many. Of those that have sent no logon, one makes room.
func (r *Registry) Add(s *Session, address string) bool {
	crowding, ok := r.arrivals.add(s, address)
	if crowding != nil {
		s.inst.Counts.TurnedAway.Add(1)
		crowding.Cut(ReasonCrowd)
	}
	return ok
}

// Remove forgets a session. Nothing of it is executed any more.
func (r *Registry) Remove(s *Session) {
	s.endHold()
	s.mu.Lock()
	s.account.close()
	s.mu.Unlock()
	r.arrivals.remove(s)
	if s.reader.stage == connected {
		return // strangers come and go without a lock that others wait for
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.gone = true
	delete(r.subscribers, s)
	delete(r.waiters, s)
	r.audience.Store(int64(len(r.subscribers)))
	r.releaseLocked(s)
}

// release gives the name and the publishers of s free.
func (r *Registry) release(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.releaseLocked(s)
}

// releaseLocked gives the name and the publishers of s free, where they are still its own.
func (r *Registry) releaseLocked(s *Session) {
	if r.names[s.who.claim.ClientName] == s {
		delete(r.names, s.who.claim.ClientName)
	}
	for _, p := range []uint64{s.who.claim.Publisher, s.who.unsequenced.ID} {
		if r.publishers[p] == s {
			delete(r.publishers, p)
		}
	}
}

// claim gives s the name it logs on with, or says why it can't have it. losers
// are the sessions it takes it from; the caller fences them.
func (r *Registry) claim(s *Session) (losers []*Session, refused string) {
	defer r.arrivals.named(s)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, old := range r.rivalsLocked(s.who.claim) {
		switch ContestHere(old.who.claim, s.who.claim) {
		case NewWins:
		case OtherPublisher:
			return nil, wire.ReasonOtherPublisher
		default:
			return nil, wire.ReasonNameInUse
		}
		losers = append(losers, old)
	}
	for _, old := range losers {
		r.releaseLocked(old)
	}
	r.names[s.who.claim.ClientName] = s
	if s.who.claim.Publisher != 0 {
		r.publishers[s.who.claim.Publisher] = s
	}
	r.publishers[s.who.unsequenced.ID] = s
	return losers, ""
}

// rivalsLocked returns the sessions that can't live beside c.
func (r *Registry) rivalsLocked(c Claim) []*Session {
	if mut.On(mut.R11NoFence) {
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

// rivals returns the sessions that can't live beside c.
func (r *Registry) rivals(c Claim) []*Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.rivalsLocked(c)
}

// follows notes whether a session waits for the ledger, and whether for
// watermarks of any publisher. It belongs to the session's writer.
func (r *Registry) follows(s *Session, ledger, watermarks bool) {
	now := follows{ledger, watermarks}
	if s.writer.follows == now {
		return
	}
	s.writer.follows = now
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.gone {
		return
	}
	setMember(r.subscribers, s, ledger)
	r.audience.Store(int64(len(r.subscribers)))
	setMember(r.waiters, s, watermarks)
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

// WatermarksMoved has the sessions looked at whose publishers' watermarks may
// have moved, nil for all: one that is alone may write its acks at once.
func (r *Registry) WatermarksMoved(publishers []uint64) {
	if publishers == nil {
		r.WakeAll()
		return
	}
	for _, p := range publishers {
		switch s := r.publisher(p); {
		case s == nil:
		case len(publishers) == 1:
			s.driver.AcksDue()
		default:
			s.driver.Wake()
		}
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for s := range r.waiters {
		if s.waiting.Load() {
			s.driver.Wake()
		}
	}
}

// Raised tells the sessions of publishers of whom a link has brought records up
// to these sequences.
func (r *Registry) Raised(moved []bookmark.Bookmark) {
	for _, b := range moved {
		if s := r.publisher(b.Publisher); s != nil && s.LoggedOn() && s.who.claim.Publisher == b.Publisher {
			s.raised(b.Sequence)
		}
	}
}

// publisher returns the session that sends as a publisher, nil if there is none.
func (r *Registry) publisher(publisher uint64) *Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.publishers[publisher]
}

// WakeAll has all sessions looked at.
func (r *Registry) WakeAll() {
	for _, s := range r.Sessions() {
		s.driver.Wake()
	}
}

// wakeSubscribers has all sessions looked at that wait for the ledger.
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

// Sessions returns all sessions, in no order.
func (r *Registry) Sessions() []*Session { return r.arrivals.list() }

// publishUnlogged hands a message that is not logged to the sessions with subscriptions
// that it may be for.
func (r *Registry) publishUnlogged(m *wire.Message, user string) {
	u := &unloggedMessage{
		topic: bytes.Clone(m.Topic), body: bytes.Clone(m.Body),
		correlation: bytes.Clone(m.CorrelationID), user: []byte(user),
	}
	sessions := make(map[*Session]struct{})
	r.each(u.topic, func(s *Session) { sessions[s] = struct{}{} })
	for s := range sessions {
		s.queueUnlogged(u)
	}
}
