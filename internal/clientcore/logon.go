package clientcore

import (
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

const (
	// LogonID is the command id of a logon.
	LogonID = "0"
	// maxChallenges is the limit on the challenges of a server in one logon.
	maxChallenges = 3
)

// A logon is the logon of one connection. It is sent again after each challenge.
type logon struct {
	server       Server // only the address is set until the logon is accepted
	logonCommand wire.LogonCommand
	logonsSent   int
	accepted     bool
}

// Server returns the server of the connection.
func (l *logon) Server() Server { return l.server }

// Credentials returns the logon to send: the first one, or the next one after a challenge.
func (l *logon) Credentials(user, password string) wire.LogonCommand {
	l.logonsSent++
	l.logonCommand.UserID, l.logonCommand.Password = user, password
	return l.logonCommand
}

// handleLogonAck handles the server's answer to the logon.
func (l *logon) handleLogonAck(m *wire.Message) (EventKind, error) {
	switch {
	case m.Failed():
		return EventNone, refusalError("logon", m)
	case string(m.Status) == wire.StatusSuccess:
	case l.logonsSent < maxChallenges:
		return EventChallenged, nil
	default:
		return EventNone, fmt.Errorf("%w: %d challenges in one logon", ErrProtocol, maxChallenges)
	}
	if m.IsExt() && !l.logonCommand.Ext {
		return EventNone, fmt.Errorf("%w: the logon ack uses extensions that the logon did not ask for", ErrProtocol)
	}
	l.accepted, l.server = true, serverOf(l.server.Address, m)
	return EventAccepted, nil
}

// A SideSession is a session with another server, for a search. It has no name and no store, so
// it cannot publish and does not end another session of the client (R11).
type SideSession struct{ logon }

// NewSideSession returns a side session with the server at an address.
func NewSideSession(address, messageType, version string) *SideSession {
	return &SideSession{logon{server: Server{Address: address}, logonCommand: wire.LogonCommand{
		CommandID: LogonID, MessageType: messageType, Acks: wire.AckProcessed, Version: version, Ext: true,
	}}}
}

// HandleAck handles an ack that belongs to no subscription. An error ends the side session.
func (s *SideSession) HandleAck(m *wire.Message) (e Event, err error) {
	switch {
	case !s.accepted:
		e.Kind, err = s.handleLogonAck(m)
	case m.Failed():
		err = refusalError("session", m)
	}
	return e, err
}
