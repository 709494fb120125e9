package clientcore

import (
	"errors"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// The reasons for the end of a connection or a subscription. Package client exports these
// errors under its own names.
var (
	ErrPublishGap       = errors.New("server lacks messages that were acknowledged before")
	ErrOldIncarnation   = errors.New("server is of an earlier incarnation of its group")
	ErrDiskFull         = errors.New("server takes no publishes because its disk is nearly full")
	ErrNameInUse        = errors.New("client name is in use")
	ErrNotAuthenticated = errors.New("server does not accept the credentials")
	ErrNotEntitled      = errors.New("user is not entitled")
	ErrOtherOwner       = errors.New("publish store belongs to another user")
	ErrNotReplicated    = errors.New("topic is not replicated: the subscription cannot move to another server")
	ErrSlowConsumer     = errors.New("application takes messages too slowly")
	ErrTimeout          = errors.New("no answer from the server in time")
	ErrProtocol         = errors.New("server violated the protocol")
	ErrRolledBack       = errors.New("publish store was rolled back")
	ErrPublisherIDTaken = errors.New("server has another publisher under the id of the publish store's life")

	// ErrMissed ends a subscription that does not accept gaps. The Effect lists the missing
	// messages.
	ErrMissed = errors.New("messages are no longer in the server's log")
)

// A Refusal reports a command that a server refused.
type Refusal struct {
	Command string // as on the wire, or "session" for a refusal that names no command
	Reason  string // the server's words
}

func (e *Refusal) Error() string { return e.Command + " refused: " + e.Reason }

func (e *Refusal) Unwrap() error { return CauseOf(e.Reason) }

// CauseOf returns the error that a server's reason stands for, if it is about the rights of the
// user, otherwise nil.
func CauseOf(reason string) error {
	switch {
	case strings.HasPrefix(reason, wire.ReasonAuthFailure):
		return ErrNotAuthenticated
	case strings.HasPrefix(reason, wire.ReasonNotEntitled):
		return ErrNotEntitled
	case strings.HasPrefix(reason, wire.ReasonOtherOwner):
		return ErrOtherOwner
	}
	return nil
}
