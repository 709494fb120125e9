package replica

import (
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/pace"
)

// A lobby holds the connections whose peer is not known yet. It has a lock of its own, so that
// strangers do not hold up the links, however many come and go. It is safe for concurrent use.
type lobby struct {
	mu     sync.Mutex
	closed bool    // guarded by mu, like the rest
	conns  []*conn // in the order of arrival
	noise  noise
	crowd  pace.Pace // limits the strangers that make room for others from their own address
}

// The rate at which strangers make room for others from their own address: one in each interval,
// and more only in a burst. Further connections are closed at once.
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
		failpoint.On(failpoint.DAnyCrowd)
}

// count counts the accepted connections: all, those from each host, and those from the host with
// the most.
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

// enter adds a connection. If there is one stranger too many, crowd is the one that must end.
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

// leave removes a connection that has ended, or whose peer is known.
func (l *lobby) leave(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = without(l.conns, c)
}

// close lets no connection in any more. It returns the connections to be ended.
func (l *lobby) close() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return slices.Clone(l.conns)
}

// noise is the log state of connections that did not become links.
type noise struct {
	logged bool          // one was logged
	at     time.Duration // when the last one was logged
	others int           // how many came since then
}

// heard counts a connection that did not become a link. ok reports whether it is to be logged;
// others is then the number of unlogged ones since the last line.
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

// maxStrangers bounds the accepted connections that have not shown who they are.
const maxStrangers = 64

// crowding returns the stranger that makes room for another one, nil if there is room. It is the
// oldest one from the address with the most strangers. So one address keeps out only itself.
// Several addresses keep out only a stranger that is slower than all the others that arrive
// meanwhile.
func crowding(greeting []*conn) *conn {
	strangers, from, most := count(greeting)
	if strangers <= maxStrangers {
		return nil
	}
	i := slices.IndexFunc(greeting, func(c *conn) bool { return !c.dialled && from[c.from] == most })
	return greeting[i]
}
