package client

import (
	"slices"
	"time"
)

// A trail records the servers that a client has been on.
type trail struct {
	at     string // server of the last logon
	on     bool   // a connection to it has not ended yet
	why    error  // reason of its end
	passed []*ConnectError
}

// arrive notes a logon. If it is on another server than the last one, moved is true and m is the
// move.
func (t *trail) arrive(server string, now time.Time) (m Move, moved bool) {
	m = Move{From: t.at, To: server, At: now, Err: t.why, Passed: t.passed}
	moved = server != t.at
	*t = trail{at: server, on: true}
	return m, moved
}

// leave notes the end of a connection or of an attempt to make one.
func (t *trail) leave(e *ConnectError) {
	if t.on {
		t.on, t.why = false, e.Err
		return
	}
	t.passed = withLast(t.passed, e)
}

// withLast adds e to a list of errors, or replaces the error of the same server.
func withLast(list []*ConnectError, e *ConnectError) []*ConnectError {
	i := slices.IndexFunc(list, func(p *ConnectError) bool { return p.Server == e.Server })
	if i < 0 {
		return append(list, e)
	}
	list[i] = e
	return list
}
