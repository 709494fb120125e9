package replica

import (
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/pace"
)

// pendingConns are the connections whose peer is not known yet. They have a lock of their own, so
// that strangers do not hold up the links, however many come and go. They are safe for concurrent
// use.
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

// admits reports whether a connection from a host is accepted as a stranger.
func (l *pendingConns) admits(host string, now time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	strangers, byHost, busiest := countByHost(l.conns)
	return strangers < maxStrangers || byHost[host] < busiest || l.evictions.Allow(time.Unix(0, 0).Add(now), evictionInterval, evictionBurst) ||
		failpoint.On(failpoint.DAnyWithoutLogon)
}

// countByHost counts the accepted connections: all, those from each host, and those from the host
// with the most.
func countByHost(conns []*conn) (all int, byHost map[string]int, busiest int) {
	byHost = make(map[string]int)
	for _, c := range conns {
		if !c.dialled {
			all++
			byHost[c.remoteHost]++
			busiest = max(busiest, byHost[c.remoteHost])
		}
	}
	return all, byHost, busiest
}

// add adds a connection. If there is one stranger too many, it returns the one that must be closed.
func (l *pendingConns) add(c *conn) (evicted *conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false
	}
	l.conns = append(l.conns, c)
	if evicted = evictionCandidate(l.conns); evicted != nil {
		l.conns = without(l.conns, evicted)
	}
	return evicted, true
}

// remove removes a connection that has ended, or whose peer is known.
func (l *pendingConns) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = without(l.conns, c)
}

// close admits no more connections. It returns those that must be closed.
func (l *pendingConns) close() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return slices.Clone(l.conns)
}

// A noLinkLog is the log state of connections that did not become links.
type noLinkLog struct {
	logged   bool          // one was logged
	at       time.Duration // when the last one was logged
	unlogged int           // how many came since then
}

// countNoLink counts a connection that did not become a link. ok reports whether to log it.
// unlogged is the number of connections since the last log line.
func (l *pendingConns) countNoLink(now time.Duration) (unlogged int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.logState.logged && now < l.logState.at+refusalSpacing {
		l.logState.unlogged++
		return 0, false
	}
	unlogged = l.logState.unlogged
	l.logState = noLinkLog{logged: true, at: now}
	return unlogged, true
}

// maxStrangers bounds the accepted connections that have not authenticated.
const maxStrangers = 64

// evictionCandidate returns the stranger that makes room for another one, nil if there is room. It
// is the oldest one from the address with the most strangers. So one address keeps out only itself.
// Several addresses keep out only a stranger that is slower than all the others that arrive
// meanwhile.
func evictionCandidate(conns []*conn) *conn {
	strangers, byHost, busiest := countByHost(conns)
	if strangers <= maxStrangers {
		return nil
	}
	i := slices.IndexFunc(conns, func(c *conn) bool { return !c.dialled && byHost[c.remoteHost] == busiest })
	return conns[i]
}
