package server

import "github.com/holdfast-mq/holdfast/internal/wire"

// An interceptor is a connection that is asked about each command before it is
// executed. Those that servertest accepts are.
type interceptor interface {
	// Intercept says what becomes of a command: it is swallowed, or refused
	// for a reason, or with an error the connection ends.
	Intercept(m *wire.Message) (swallow bool, refuse string, err error)
}

// intercepted asks the connection about a command, does what it says, and
// reports whether that was instead of executing it.
func (s *session) intercepted(m *wire.Message) (instead bool, err error) {
	asks, is := s.conn.(interceptor)
	if !is {
		return false, nil
	}
	swallow, refuse, err := asks.Intercept(m)
	switch {
	case err != nil:
		s.core.Cut(err.Error())
		return true, err
	case refuse != "":
		return true, s.core.Refuse(m, refuse)
	}
	return swallow, nil
}
