package servercore

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/pace"
)

// arrivals are all sessions, to bound how many there are. They have a lock of their own,
// so that connections that come and go without a logon hold up nobody else. Safe for
// concurrent use.
type arrivals struct {
	most int // sessions; 0: no bound

	mu        sync.Mutex
	all       map[*Session]struct{} // guarded by mu, like the rest
	strangers strangers             // have sent no logon
	addresses map[string]int        // sessions from each
	added     uint64                // sessions so far
	crowd     pace.Pace             // of those from the busiest address
}

// While half as many connections have sent no logon as there may be, so many are taken from
// the address from which most of them come: one in an interval, and more of them only at
// once. What comes beyond that is closed at once, which costs far less.
const (
	crowdInterval = 2 * time.Millisecond
	crowdBurst    = time.Second
)

// admits reports whether a connection from an address may become a session.
func (a *arrivals) admits(address string, most int, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.strangers.count() < most/2 || len(a.strangers[address]) < len(a.strangers.busiest()) || a.crowd.Take(now, crowdInterval, crowdBurst) ||
		mut.On(mut.DAnyCrowd)
}

func newArrivals(most int) arrivals {
	return arrivals{
		most: most, all: make(map[*Session]struct{}), strangers: make(strangers), addresses: make(map[string]int),
	}
}

// add adds a session, false if there are too many. crowding is to make room for it.
func (a *arrivals) add(s *Session, address string) (crowding *Session, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch full := a.strangers.count() >= s.limits.Strangers; {
	case a.most > 0 && len(a.all) >= a.most && !mut.On(mut.DAnySessions):
		return nil, false
	case a.addresses[address] >= a.perAddress(s) && !mut.On(mut.DAnyAddress):
		return nil, false
	case full && mut.On(mut.DStrangersStay):
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

// perAddress is how many sessions one address may have: never all that there may be.
func (a *arrivals) perAddress(s *Session) int {
	if a.most == 0 {
		return s.limits.PerAddress
	}
	return min(s.limits.PerAddress, max(a.most*3/4, min(a.most, 32)))
}

// named notes that a session has sent its logon.
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

// strangers are the connections that have sent no logon, by the address that they come
// from. They are not safe for concurrent use.
type strangers map[string]map[*Session]struct{}

// add adds a connection whose address is set.
func (all strangers) add(s *Session) {
	from := all[s.address]
	if from == nil {
		from = make(map[*Session]struct{})
		all[s.address] = from
	}
	from[s] = struct{}{}
}

// remove removes a connection, if it is there.
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

// busiest returns those from the address from which most have come.
func (all strangers) busiest() (busiest map[*Session]struct{}) {
	for _, from := range all {
		if len(from) > len(busiest) {
			busiest = from
		}
	}
	return busiest
}

// crowding returns the stranger that makes room for another, any one of those from
// the busiest address. So one address keeps out hardly any but itself,
// and of that those that take longer than most others.
func (all strangers) crowding() *Session {
	for s := range all.busiest() { // in random order
		return s
	}
	return nil
}
