package clientcore

import (
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

const (
	// LogonID is the command id of a logon.
	LogonID = "0"
	// maxChallenges is how often a server may ask again in one logon.
	maxChallenges = 3
)

// A logon is that of one connection. It is sent again for each challenge.
type logon struct {
	server   Server // before it has accepted the logon the address only
	command  wire.LogonCommand
	asked    int // logons sent
	accepted bool
}

// Server returns the server of the connection.
func (l *logon) Server() Server { return l.server }

// Credentials returns the logon to be sent, the first or another after a challenge.
func (l *logon) Credentials(user, password string) wire.LogonCommand {
	l.asked++
	l.command.UserID, l.command.Password = user, password
	return l.command
}

// answer handles the answer to a logon.
func (l *logon) answer(m *wire.Message) (Kind, error) {
	switch {
	case m.Failed():
		return Nothing, refusal("logon", m)
	case string(m.Status) == wire.StatusSuccess:
	case l.asked < maxChallenges:
		return Challenged, nil
	default:
		return Nothing, fmt.Errorf("%w: %d challenges in one logon", ErrProtocol, maxChallenges)
	}
	if m.IsExt() && !l.command.Ext {
		return Nothing, fmt.Errorf("%w: extensions that the logon does not speak of", ErrProtocol)
	}
	l.accepted, l.server = true, serverOf(l.server.Address, m)
	return Accepted, nil
}

// A Side is a side session with another server, for a search: without a name and
// without a store, so that it can't publish and ends no other session (R11).
type Side struct{ logon }

// NewSide makes the side session with the server at an address.
func NewSide(address, messageType, version string) *Side {
	return &Side{logon{server: Server{Address: address}, command: wire.LogonCommand{
		CommandID: LogonID, MessageType: messageType, Acks: wire.AckProcessed, Version: version, Ext: true,
	}}}
}

// Take handles an ack that belongs to no subscription. An error ends the side session.
func (s *Side) Take(m *wire.Message) (e Event, err error) {
	switch {
	case !s.accepted:
		e.Kind, err = s.answer(m)
	case m.Failed():
		err = refusal("session", m)
	}
	return e, err
}
