package client

import "time"

// A Move is a logon on another server than the one before, and why.
type Move struct {
	From string // the server before, without a password; empty: this is the first
	To   string
	At   time.Time

	// Err is why From was left, for errors.Is: what the connection was lost
	// for, with ErrStopping if the server had said so; ErrPublishGap;
	// ErrNameInUse; ErrPreferred. Nil for the first.
	Err error
	// Passed are the servers that were tried in between, From included if it
	// was, each with its last error: what could not be reached, what refused
	// the logon, and what was passed over with ErrLagging, ErrAsync or
	// ErrAsyncPath.
	Passed []*ConnectError
}

// maxMoves bounds those in Stats.
const maxMoves = 16

// A journey is where a client has been. It belongs to the session goroutine.
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

// tellMoved makes a move known.
func (c *Client) tellMoved(m Move) {
	c.mu.Lock()
	if len(c.moves) == maxMoves {
		c.moves = append(c.moves[:0], c.moves[1:]...)
	}
	c.moves = append(c.moves, m)
	c.mu.Unlock()
	if m.From != "" {
		c.cfg.Logger.Info("moved", "from", m.From, "to", m.To, "because", m.Err)
	}
	if hook := c.cfg.Hooks.Moved; hook != nil {
		hook(m)
	}
}
