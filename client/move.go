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

// tellMoved makes a move known.
func (c *Client) tellMoved(m Move) {
	if m.From != "" {
		c.cfg.Logger.Info("moved", "from", m.From, "to", m.To, "because", m.Err)
	}
	tell(c.cfg.Hooks.Moved, m)
}
