package servercore

// An EventKind is a kind of event in a session that belongs in an audit log.
type EventKind uint8

const (
	EventLogon             EventKind = iota + 1 // the logon was accepted
	EventPublishRefused                         // the user may not publish to the topic
	EventSubscribeRefused                       // the user may not have the messages of the topic, or may not have them any more
	EventLimit                                  // a limit of the user has refused a command
	EventPermissionsChange                      // the session ends because the permissions of its user have changed
)

// An Event is an event in a session that belongs in an audit log. The session and its driver see
// the others: refused logons and the end of the session.
type Event struct {
	Kind   EventKind
	Topic  string // of the command; empty: there is none
	Reason string // as the client gets it; empty: there is none
}

// notifyEvent reports an event. No lock may be held.
func (s *Session) notifyEvent(kind EventKind, topic []byte, reason string) {
	if s.inst.OnEvent != nil {
		s.inst.OnEvent(s, Event{Kind: kind, Topic: string(topic), Reason: reason})
	}
}
