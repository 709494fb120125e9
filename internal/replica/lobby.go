package replica

import (
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/pace"
)

// A lobby has the connections whose peer is not known yet. It has a lock of its own, so
// that strangers, however many come and go, don't hold up the links. Safe for
// concurrent use.
type lobby struct {
	mu     sync.Mutex
	closed bool    // guarded by mu, like the rest
	conns  []*conn // in the order in which they came
	noise  noise
	crowd  pace.Pace // of those that make room for others from their address
}

// Of strangers so many make room for others from their own address: one in an interval,
// and more of them only at once. What comes beyond that is closed at once.
const (
	crowdInterval = 5 * time.Millisecond
	crowdBurst    = 2500 * time.Millisecond
)

// admits reports whether a connection from a host may become a stranger.
func (l *lobby) admits(host string, now time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	strangers, from, most := count(l.conns)
	return strangers < maxStrangers || from[host] < most || l.crowd.Take(time.Unix(0, 0).Add(now), crowdInterval, crowdBurst) ||
		mut.On(mut.DAnyCrowd)
}

// count counts the connections that were accepted, those from each host, and those from
// the host from which most have come.
func count(conns []*conn) (all int, from map[string]int, most int) {
	from = make(map[string]int)
	for _, c := range conns {
		if !c.dialled {
			all++
			from[c.from]++
			most = max(most, from[c.from])
		}
	}
	return all, from, most
}

// enter has close know a connection. If it is one stranger too many, crowd has to go.
func (l *lobby) enter(c *conn) (crowd *conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false
	}
	l.conns = append(l.conns, c)
	if crowd = crowding(l.conns); crowd != nil {
		l.conns = without(l.conns, crowd)
	}
	return crowd, true
}

// leave takes out a connection that has ended, or whose peer is known.
func (l *lobby) leave(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = without(l.conns, c)
}

// close lets nobody in any more, and returns the connections that are to be ended.
func (l *lobby) close() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return slices.Clone(l.conns)
}

// noise are connections that are no links.
type noise struct {
	logged bool          // one was
	at     time.Duration // the last one
	others int           // since then
}

// heard counts a connection that is no link. others are those since the last one that
// was logged, of which ok says whether this is to be one.
func (l *lobby) heard(now time.Duration) (others int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.noise.logged && now < l.noise.at+refusalSpacing {
		l.noise.others++
		return 0, false
	}
	others = l.noise.others
	l.noise = noise{logged: true, at: now}
	return others, true
}

// maxStrangers bounds the connections that were accepted and have not shown who they are.
const maxStrangers = 64

// crowding returns the stranger that makes room for another, nil if there is room: the
// oldest of those from the address from which most have come. So one address keeps out
// itself only, and several of them only who takes longer than all the others that come
// meanwhile.
func crowding(greeting []*conn) *conn {
	strangers, from, most := count(greeting)
	if strangers <= maxStrangers {
		return nil
	}
	i := slices.IndexFunc(greeting, func(c *conn) bool { return !c.dialled && from[c.from] == most })
	return greeting[i]
}
