package servercore

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/pace"
)

// A sessionSet holds all sessions and bounds their number. It has a lock of its own, so that
// connections that come and go without a logon block nobody else. It is safe for concurrent use.
type sessionSet struct {
	limit int // bound on the sessions; 0: none

	mu              sync.Mutex
	all             map[*Session]struct{} // guarded by mu, like the rest
	unauthenticated unauthenticated       // connections that have not sent a logon
	addresses       map[string]int        // sessions per address
	added           uint64                // sessions added so far
	busiestPace     pace.Limiter          // of new connections from the busiest address
}

// Once the instance has half of the unauthenticated connections that it may have, it accepts new
// ones from the busiest address at a limited rate: one per busiestInterval, with bursts of 500,
// which is busiestBurst divided by busiestInterval. The others are closed at once, which costs far
// less than a session.
const (
	busiestInterval = 2 * time.Millisecond
	busiestBurst    = time.Second
)

// admits reports whether a connection from an address may become a session. limit is the bound on
// unauthenticated connections.
func (a *sessionSet) admits(address string, limit int, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.unauthenticated.count() < limit/2 || len(a.unauthenticated[address]) < len(a.unauthenticated.busiest()) || a.busiestPace.Allow(now, busiestInterval, busiestBurst) ||
		failpoint.On(failpoint.DAnyWithoutLogon)
}

func newSessionSet(limit int) sessionSet {
	return sessionSet{
		limit: limit, all: make(map[*Session]struct{}), unauthenticated: make(unauthenticated), addresses: make(map[string]int),
	}
}

// add adds a session. It returns false if there are too many. evicted, if not nil, is an
// unauthenticated session that the caller must end to make room.
func (a *sessionSet) add(s *Session, address string) (evicted *Session, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch full := a.unauthenticated.count() >= s.limits.Unauthenticated; {
	case a.limit > 0 && len(a.all) >= a.limit && !failpoint.On(failpoint.DAnySessions):
		return nil, false
	case a.addresses[address] >= a.perAddress(s) && !failpoint.On(failpoint.DAnyAddress):
		return nil, false
	case full && failpoint.On(failpoint.DWithoutLogonStays):
		return nil, false
	case full:
		evicted = a.unauthenticated.victim()
		a.unauthenticated.remove(evicted)
	}
	a.added++
	s.address, s.number = address, a.added
	a.addresses[address]++
	a.unauthenticated.add(s)
	a.all[s] = struct{}{}
	return evicted, true
}

// perAddress returns the bound on the sessions of one address: the limit PerAddress, and at most
// three quarters of all sessions that the instance may have. If the instance may have only a few,
// one address gets up to 32 of them.
func (a *sessionSet) perAddress(s *Session) int {
	if a.limit == 0 {
		return s.limits.PerAddress
	}
	return min(s.limits.PerAddress, max(a.limit*3/4, min(a.limit, 32)))
}

// logonReceived records that a session has sent its logon.
func (a *sessionSet) logonReceived(s *Session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unauthenticated.remove(s)
}

func (a *sessionSet) remove(s *Session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.all[s]; !known {
		return
	}
	if a.addresses[s.address]--; a.addresses[s.address] == 0 {
		delete(a.addresses, s.address)
	}
	delete(a.all, s)
	a.unauthenticated.remove(s)
}

func (a *sessionSet) list() []*Session {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Keys(a.all))
}

// unauthenticated are the connections that have not sent a logon, by remote address. They are not
// safe for concurrent use.
type unauthenticated map[string]map[*Session]struct{}

// add adds a connection, whose address must be set.
func (all unauthenticated) add(s *Session) {
	from := all[s.address]
	if from == nil {
		from = make(map[*Session]struct{})
		all[s.address] = from
	}
	from[s] = struct{}{}
}

// remove removes a connection if it is unauthenticated.
func (all unauthenticated) remove(s *Session) {
	from := all[s.address]
	if delete(from, s); len(from) == 0 {
		delete(all, s.address)
	}
}

func (all unauthenticated) count() (n int) {
	for _, from := range all {
		n += len(from)
	}
	return n
}

// busiest returns the unauthenticated connections from the address that has most of them.
func (all unauthenticated) busiest() (busiest map[*Session]struct{}) {
	for _, from := range all {
		if len(from) > len(busiest) {
			busiest = from
		}
	}
	return busiest
}

// victim returns the connection to evict: a random one from the busiest address. So an address that
// floods the instance evicts mostly its own connections, and among those mostly the ones that take
// longest to log on.
func (all unauthenticated) victim() *Session {
	for s := range all.busiest() { // in random order
		return s
	}
	return nil
}
