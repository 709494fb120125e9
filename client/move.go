package client

import (
	"errors"
	"time"
)

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

// The values of Move.Reason.
const (
	MoveFirstLogon     = "first_logon"     // there was no server before
	MovePreferred      = "preferred"       // the client went back to a preferred server (ErrPreferred)
	MoveServerStopping = "server_stopping" // the server had announced that it stops (ErrServerStopping)
	MovePublishGap     = "publish_gap"     // the server lacked acknowledged messages (ErrPublishGap)
	MoveNameInUse      = "name_in_use"     // another process has the client's name (ErrNameInUse)
	MoveConnectionLost = "connection_lost" // any other end of the connection
)

// Reason returns the class of the reason, as a metric has it: one of the constants above.
func (m Move) Reason() string {
	switch {
	case m.From == "":
		return MoveFirstLogon
	case errors.Is(m.Err, ErrPreferred):
		return MovePreferred
	case errors.Is(m.Err, ErrServerStopping):
		return MoveServerStopping
	case errors.Is(m.Err, ErrPublishGap):
		return MovePublishGap
	case errors.Is(m.Err, ErrNameInUse):
		return MoveNameInUse
	}
	return MoveConnectionLost
}

// maxMoves is the largest number of moves in Stats.
const maxMoves = 16

// reportMoved reports a move.
func (c *Client) reportMoved(m Move) {
	callHook(c.cfg.Hooks.Moved, m)
}
