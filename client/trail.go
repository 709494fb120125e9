package client

import (
	"slices"
	"time"
)

// A trail is where a client has been.
type trail struct {
	at     string // the server logged on to last
	on     bool   // a connection to it has not ended yet
	why    error  // it ended
	passed []*ConnectError
}

// arrive notes a logon, and returns the move if it is one.
func (t *trail) arrive(server string, now time.Time) (m Move, moved bool) {
	m = Move{From: t.at, To: server, At: now, Err: t.why, Passed: t.passed}
	moved = server != t.at
	*t = trail{at: server, on: true}
	return m, moved
}

// leave notes the end of a connection, or of an attempt to make one.
func (t *trail) leave(e *ConnectError) {
	if t.on {
		t.on, t.why = false, e.Err
		return
	}
	t.passed = withLast(t.passed, e)
}

// withLast returns a list of errors in which e has the place of one of its server.
func withLast(list []*ConnectError, e *ConnectError) []*ConnectError {
	i := slices.IndexFunc(list, func(p *ConnectError) bool { return p.Server == e.Server })
	if i < 0 {
		return append(list, e)
	}
	list[i] = e
	return list
}
