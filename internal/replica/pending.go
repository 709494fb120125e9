package replica

import (
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/pace"
)

// A pendingConns holds the connections whose peer is not known yet. It has a lock of its own, so that
// strangers do not hold up the links, however many come and go. It is safe for concurrent use.
type pendingConns struct {
	mu        sync.Mutex
	closed    bool    // guarded by mu, like the rest
	conns     []*conn // in the order of arrival
	logState  noLinkLog
	evictions pace.Limiter // limits the strangers that make room for others from their own address
}

// The rate at which strangers make room for others from their own address: one in each interval,
// and more only in a burst. Further connections are closed at once.
const (
	evictionInterval = 5 * time.Millisecond
	evictionBurst    = 2500 * time.Millisecond
)

// admits reports whether a connection from a host may become a stranger.
func (l *pendingConns) admits(host string, now time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	strangers, from, most := countByHost(l.conns)
	return strangers < maxStrangers || from[host] < most || l.evictions.Allow(time.Unix(0, 0).Add(now), evictionInterval, evictionBurst) ||
		failpoint.On(failpoint.DAnyWithoutLogon)
}

// countByHost counts the accepted connections: all, those from each host, and those from the host with
// the most.
func countByHost(conns []*conn) (all int, from map[string]int, most int) {
	from = make(map[string]int)
	for _, c := range conns {
		if !c.dialled {
			all++
			from[c.remoteHost]++
			most = max(most, from[c.remoteHost])
		}
	}
	return all, from, most
}

// addPeer adds a connection. If there is one stranger too many, crowd is the one that must end.
func (l *pendingConns) add(c *conn) (crowd *conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false
	}
	l.conns = append(l.conns, c)
	if crowd = evictionCandidate(l.conns); crowd != nil {
		l.conns = without(l.conns, crowd)
	}
	return crowd, true
}

// remove removes a connection that has ended, or whose peer is known.
func (l *pendingConns) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = without(l.conns, c)
}

// remove lets no connection in any more. It returns the connections to be ended.
func (l *pendingConns) close() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return slices.Clone(l.conns)
}

// logState is the log state of connections that did not become links.
type noLinkLog struct {
	logged bool          // one was logged
	at     time.Duration // when the last one was logged
	others int           // how many came since then
}

// countNoLink counts a connection that did not become a link. ok reports whether it is to be logged;
// others is then the number of unlogged ones since the last line.
func (l *pendingConns) countNoLink(now time.Duration) (others int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.logState.logged && now < l.logState.at+refusalSpacing {
		l.logState.others++
		return 0, false
	}
	others = l.logState.others
	l.logState = noLinkLog{logged: true, at: now}
	return others, true
}

// maxStrangers bounds the accepted connections that have not shown who they are.
const maxStrangers = 64

// evictionCandidate returns the stranger that makes room for another one, nil if there is room. It is the
// oldest one from the address with the most strangers. So one address keeps out only itself.
// Several addresses keep out only a stranger that is slower than all the others that arrive
// meanwhile.
func evictionCandidate(greeting []*conn) *conn {
	strangers, from, most := countByHost(greeting)
	if strangers <= maxStrangers {
		return nil
	}
	i := slices.IndexFunc(greeting, func(c *conn) bool { return !c.dialled && from[c.remoteHost] == most })
	return greeting[i]
}
