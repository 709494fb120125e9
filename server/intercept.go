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
	if s.asks == nil {
		return false, nil
	}
	swallow, refuse, err := s.asks.Intercept(m)
	switch {
	case err != nil:
		s.cut(err.Error())
		return true, err
	case refuse != "":
		return true, s.refuseIntercepted(m, refuse)
	}
	return swallow, nil
}

// refuseIntercepted refuses a command as if it broke a rule of this server's.
func (s *session) refuseIntercepted(m *wire.Message, reason string) error {
	switch {
	case !s.loggedOn:
		return s.refuseLogon(m, reason)
	case m.Command == wire.Publish, m.Command == wire.DeltaPublish, m.Command == wire.SOWDelete && m.HasSequence:
		return s.reject(m, reason)
	}
	s.received(m)
	if m.Command == wire.Subscribe {
		s.refuseSubscribe(m, &subscribeError{reason: reason})
	} else {
		s.processed(m, reason)
	}
	return nil
}
