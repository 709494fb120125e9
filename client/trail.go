package client

import "time"

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
	for i, p := range t.passed {
		if p.Server == e.Server {
			t.passed[i] = e
			return
		}
	}
	t.passed = append(t.passed, e)
}
