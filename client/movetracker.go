package client

import (
	"slices"
	"time"
)

// A moveTracker records the servers that a client has been on.
type moveTracker struct {
	server    string          // server of the last logon
	connected bool            // a connection to it has not ended yet
	endErr    error           // reason of its end
	failed    []*ConnectError // failed attempts since then
}

// loggedOn records a logon. If it is on another server than the last one, moved is true and m is
// the move.
func (t *moveTracker) loggedOn(server string, now time.Time) (m Move, moved bool) {
	m = Move{From: t.server, To: server, At: now, Err: t.endErr, Failed: t.failed}
	moved = server != t.server
	*t = moveTracker{server: server, connected: true}
	return m, moved
}

// attemptEnded records the end of a connection or of an attempt to make one.
func (t *moveTracker) attemptEnded(e *ConnectError) {
	if t.connected {
		t.connected, t.endErr = false, e.Err
		return
	}
	t.failed = replaceLast(t.failed, e)
}

// replaceLast adds e to a list of errors, or replaces the error of the same server.
func replaceLast(list []*ConnectError, e *ConnectError) []*ConnectError {
	i := slices.IndexFunc(list, func(p *ConnectError) bool { return p.Server == e.Server })
	if i < 0 {
		return append(list, e)
	}
	list[i] = e
	return list
}
