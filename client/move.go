package client

import "time"

// A Move is a logon on another server than the one before, with the reason.
type Move struct {
	From string // previous server, without a password; empty for the first logon
	To   string
	At   time.Time

	// Err is the reason why the client left From, for errors.Is: the reason of a lost connection,
	// with ErrServerStopping if the server had announced that it stops; ErrPublishGap;
	// ErrNameInUse; or ErrPreferred. It is nil for the first logon.
	Err error
	// Failed has the last error of each server that was tried in between, including From if it was
	// tried again. These servers could not be reached, refused the logon, or were left with
	// ErrLagging, ErrAsync, ErrOneWay or ErrAsyncPath.
	Failed []*ConnectError
}

// maxMoves is the largest number of moves in Stats.
const maxMoves = 16

// reportMoved reports a move.
func (c *Client) reportMoved(m Move) {
	callHook(c.cfg.Hooks.Moved, m)
}
