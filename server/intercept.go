package server

import "github.com/holdfast-mq/holdfast/internal/wire"

// An interceptor is a connection that decides about each command before it is executed. Connections
// that servertest accepts are interceptors.
type interceptor interface {
	// Intercept decides about a command. The command is executed unless it is swallowed or refused
	// with a reason. An error ends the connection.
	Intercept(m *wire.Message) (swallow bool, refuse string, err error)
}

// intercept asks the connection about a command and carries out its decision. handled is true if
// the command must not be executed.
func (s *session) intercept(m *wire.Message) (handled bool, err error) {
	i, ok := s.conn.(interceptor)
	if !ok {
		return false, nil
	}
	swallow, refuse, err := i.Intercept(m)
	switch {
	case err != nil:
		s.core.Abort(err.Error())
		return true, err
	case refuse != "":
		return true, s.core.Refuse(m, refuse)
	}
	return swallow, nil
}
