package servercore

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/pace"
)

// arrivals tracks all sessions and bounds their number. It has a lock of its own, so that
// connections that come and go without a logon do not block anyone else. Safe for concurrent use.
type arrivals struct {
	most int // bound on the sessions; 0: none

	mu        sync.Mutex
	all       map[*Session]struct{} // guarded by mu, like the rest
	strangers strangers             // connections that have not sent a logon
	addresses map[string]int        // sessions per address
	added     uint64                // sessions added so far
	crowd     pace.Pace             // of new connections from the busiest address
}

// Once the instance has half of the strangers that it may have, it takes new connections from the
// busiest address at a limited rate: one per crowdInterval, with bursts of crowdBurst divided by
// crowdInterval, which is 500. Others are closed at once, which costs far less than a session.
const (
	crowdInterval = 2 * time.Millisecond
	crowdBurst    = time.Second
)

// admits reports whether a connection from an address may become a session. most is the bound on
// strangers.
func (a *arrivals) admits(address string, most int, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.strangers.count() < most/2 || len(a.strangers[address]) < len(a.strangers.busiest()) || a.crowd.Take(now, crowdInterval, crowdBurst) ||
		failpoint.On(failpoint.DAnyCrowd)
}

func newArrivals(most int) arrivals {
	return arrivals{
		most: most, all: make(map[*Session]struct{}), strangers: make(strangers), addresses: make(map[string]int),
	}
}

// add adds a session. It returns false if there are too many. crowding, if not nil, is a stranger
// that the caller must end to make room.
func (a *arrivals) add(s *Session, address string) (crowding *Session, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch full := a.strangers.count() >= s.limits.Strangers; {
	case a.most > 0 && len(a.all) >= a.most && !failpoint.On(failpoint.DAnySessions):
		return nil, false
	case a.addresses[address] >= a.perAddress(s) && !failpoint.On(failpoint.DAnyAddress):
		return nil, false
	case full && failpoint.On(failpoint.DStrangersStay):
		return nil, false
	case full:
		crowding = a.strangers.crowding()
		a.strangers.remove(crowding)
	}
	a.added++
	s.address, s.number = address, a.added
	a.addresses[address]++
	a.strangers.add(s)
	a.all[s] = struct{}{}
	return crowding, true
}

// perAddress returns the bound on the sessions of one address: the limit PerAddress, and at most
// three quarters of all sessions that the instance may have. If the instance may have only a few,
// one address gets up to 32 of them.
func (a *arrivals) perAddress(s *Session) int {
	if a.most == 0 {
		return s.limits.PerAddress
	}
	return min(s.limits.PerAddress, max(a.most*3/4, min(a.most, 32)))
}

// named records that a session has sent its logon.
func (a *arrivals) named(s *Session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.strangers.remove(s)
}

func (a *arrivals) remove(s *Session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.all[s]; !known {
		return
	}
	if a.addresses[s.address]--; a.addresses[s.address] == 0 {
		delete(a.addresses, s.address)
	}
	delete(a.all, s)
	a.strangers.remove(s)
}

func (a *arrivals) list() []*Session {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Keys(a.all))
}

// strangers are the connections that have not sent a logon, by remote address. Not safe for
// concurrent use.
type strangers map[string]map[*Session]struct{}

// add adds a connection, whose address must be set.
func (all strangers) add(s *Session) {
	from := all[s.address]
	if from == nil {
		from = make(map[*Session]struct{})
		all[s.address] = from
	}
	from[s] = struct{}{}
}

// remove removes a connection if it is a stranger.
func (all strangers) remove(s *Session) {
	from := all[s.address]
	if delete(from, s); len(from) == 0 {
		delete(all, s.address)
	}
}

func (all strangers) count() (n int) {
	for _, from := range all {
		n += len(from)
	}
	return n
}

// busiest returns the strangers from the address that has most of them.
func (all strangers) busiest() (busiest map[*Session]struct{}) {
	for _, from := range all {
		if len(from) > len(busiest) {
			busiest = from
		}
	}
	return busiest
}

// crowding returns the stranger that must make room: a random one from the busiest address. So an
// address that floods the instance displaces mostly its own connections, and among those mostly the
// ones that take longest to log on.
func (all strangers) crowding() *Session {
	for s := range all.busiest() { // in random order
		return s
	}
	return nil
}
