package client

import "time"

// A journey is where a client has been.
type journey struct {
	at     string // the server logged on to last
	on     bool   // a connection to it has not ended yet
	why    error  // it ended
	passed []*ConnectError
}

// arrive notes a logon, and returns the move if it is one.
func (j *journey) arrive(server string, now time.Time) (m Move, moved bool) {
	m = Move{From: j.at, To: server, At: now, Err: j.why, Passed: j.passed}
	moved = server != j.at
	*j = journey{at: server, on: true}
	return m, moved
}

// leave notes the end of a connection, or of an attempt to make one.
func (j *journey) leave(e *ConnectError) {
	if j.on {
		j.on, j.why = false, e.Err
		return
	}
	for i, p := range j.passed {
		if p.Server == e.Server {
			j.passed[i] = e
			return
		}
	}
	j.passed = append(j.passed, e)
}
