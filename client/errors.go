package client

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/pubstore"
)

var (
	// ErrClosed reports a client that was closed or drained, or that stopped by itself. In the last
	// case the error also wraps the cause: the publish store's *FailedError, ErrNameMismatch or
	// ErrClosed. The next client that is given the publish store sends the messages that it keeps.
	ErrClosed = errors.New("client is closed")

	// ErrPublishGap says that a server lacks messages that both servers once acknowledged, so
	// nothing may be published to it (R4). The client moves to the next server by itself and comes
	// back. The gap ends when the server has caught up. An application that cannot wait calls
	// RenewLife. For servers without our extensions there is Config.AllowPublishGap.
	ErrPublishGap = clientcore.ErrPublishGap

	// ErrOldIncarnation says that the group of a server has left it behind: the server missed a
	// decree (an operator's declaration of loss) that the client's stores have seen (R10). The
	// client moves to the next server. The operator of such a server must empty its journal.
	ErrOldIncarnation = clientcore.ErrOldIncarnation

	// ErrDiskFull says that a server refuses publishes for now, because its disk is nearly full
	// (R7). Nothing is rejected or lost. The client keeps its messages and moves to the next
	// server, with growing delays as long as every server reports this error.
	ErrDiskFull = clientcore.ErrDiskFull

	// ErrNameInUse says that another process uses the client name (R11). The client does not end,
	// because the other process may have been started by mistake. It connects again after 5
	// seconds, and doubles that delay each further time, up to a minute. A server without our
	// extensions does not report a name in use. The client concludes it there when three
	// connections in a row are closed within 5 seconds of the logon.
	ErrNameInUse = clientcore.ErrNameInUse

	// ErrNotAuthenticated says that a server does not accept the user, the password or the
	// certificate of the client. The client does not end, because credentials change: it tries the
	// next server, with growing delays, and asks Credentials or Authenticator again at each attempt.
	// It is a *CommandError for logon, with the server's reason.
	ErrNotAuthenticated = clientcore.ErrNotAuthenticated

	// ErrNotEntitled says that the user may not do this. As a part of a RejectedError: no server of
	// the group takes the message. As a part of a CommandError: the server has refused the logon
	// under this client name, the subscription or the command.
	ErrNotEntitled = clientcore.ErrNotEntitled

	// ErrOtherOwner says that the publish store belongs to another user (R10): that of its first message
	// that had a user. The client keeps its messages and tries again. As a part of a CommandError.
	ErrOtherOwner = clientcore.ErrOtherOwner

	// ErrServerNotProven says that a server has not proven that it knows the password (SCRAM). It
	// is not the configured server, or it does not use SCRAM. The client leaves it, has believed
	// nothing that it said, and tries the next server.
	ErrServerNotProven = errors.New("server has not proven that it knows the password")

	// ErrTLSRequired says that a URI is not tcps, although Config.RequireTLS is set.
	ErrTLSRequired = errors.New("RequireTLS is set: use a tcps URI")

	// ErrStoreRolledBack says that a server has more messages of the publish store than the store
	// has ever numbered. Either the store was restored from a backup or copied, or the server is
	// wrong. The client has begun a new life of the store (R10), at most one a minute for each
	// server, and has left the server for the next one. The messages that the store lost are on the
	// servers.
	ErrStoreRolledBack = clientcore.ErrRolledBack

	// ErrPublisherIDTaken says that a server has another publisher under the id of the store's
	// life, which does not happen by chance. The client has begun a new life, at most one a minute
	// for each server. It offers the messages of the former life that the store keeps to the next
	// server, and later to this one again.
	ErrPublisherIDTaken = clientcore.ErrPublisherIDTaken

	// ErrDiverged says that the servers have, or may have, two contents for one sequence number of
	// the store's life: two copies of the store are in use, or another program knows its life
	// (R11). Every server refuses that life from now on. The client has begun a new one, at most
	// one a minute for each server. The messages of the former life that the store kept have left
	// it; the hook FailedWrite receives each of them with the outcome "outcome unknown". Publish
	// them again if they may come twice. The error is a *DivergedError.
	ErrDiverged = clientcore.ErrDiverged

	// ErrOutcomeUnknown says that the client cannot find out whether a server has a message. As the
	// error of a Ticket: the client has no record of the message, because an earlier process
	// published it and let it go, or because it is not of this store. As a part of a RejectedError:
	// the servers have forgotten the publisher, or it has diverged.
	ErrOutcomeUnknown = clientcore.ErrOutcomeUnknown

	// ErrSlowConsumer ends a subscription without bookmark, or the replies to a command, if the
	// application takes the messages too slowly. Subscribe again and take messages faster, or
	// subscribe with a bookmark: then the server's log keeps the messages for you.
	ErrSlowConsumer = clientcore.ErrSlowConsumer

	// ErrNotReplicated ends a bookmark subscription that would have to move to another server to
	// which its topic is not replicated (R3). With AllowUnreplicated it moves nevertheless.
	// ErrAsyncPath is for servers that receive nothing synchronously.
	ErrNotReplicated = clientcore.ErrNotReplicated

	// ErrAsyncPath says that the client left a server because a bookmark subscription would have
	// moved to it along an asynchronous path (R3). The server is not a synchronous peer of the
	// subscription's last server, so it may lack messages that the last server delivered or
	// acknowledged. The client moves to the next server and comes back. If every bookmark
	// subscription has AllowUnreplicated, the client stays.
	ErrAsyncPath = errors.New("bookmark subscriptions were on a server that does not replicate to this one synchronously")

	// ErrLagging says that a chooser of this package has refused a server that lacks, or may lack,
	// messages of its peers (SyncCatchingUp). The chooser does so while it has other servers to
	// try.
	ErrLagging = errors.New("server has not caught up with its peers")

	// ErrAsync says that a chooser has refused a server without a synchronous peer (SyncAsync), as
	// for ErrLagging.
	ErrAsync = errors.New("server has no synchronous peer")

	// ErrOneWay says that a chooser has refused a server that does not replicate back to a peer
	// that replicates to it synchronously (SyncOneWay), as for ErrLagging.
	ErrOneWay = errors.New("server does not replicate back to its peer")

	// ErrPreferred says that the client left a server because a server that its chooser prefers can
	// be reached.
	ErrPreferred = errors.New("a preferred server can be reached")

	// ErrServerStopping says that a connection ended because its server had announced that it
	// stops.
	ErrServerStopping = errors.New("server is stopping")

	// ErrDisconnected ends a command whose connection was lost before the answer. The client does
	// not know whether the server has executed the command.
	ErrDisconnected = errors.New("connection lost")

	// ErrTimeout says that a server did not answer in time.
	ErrTimeout = clientcore.ErrTimeout

	// ErrLoopRunning ends a loop over Messages, or a Handle, that begins while another one reads
	// the same subscription. The other one and the subscription are not affected.
	ErrLoopRunning = errors.New("subscription is being read by another loop")

	// ErrProtocol says that a server violated the protocol.
	ErrProtocol = clientcore.ErrProtocol

	// ErrNoSubscription says that the client has no subscription with the id in a MessageRef.
	ErrNoSubscription = errors.New("client has no such subscription")

	errUnsubscribed = errors.New("subscription has ended")
	errNoAnswerYet  = errors.New("no answer yet")
)

// A DivergedError names the publisher that has diverged (0 if the server does not name it), and its
// first sequence whose content is not proven equal on all servers (ErrDiverged):
//
//	type DivergedError struct {
//		Publisher, From uint64
//	}
type DivergedError = clientcore.DivergedError

// A ConnectError says why the client could not use, or has left, a server.
type ConnectError struct {
	Server string // as configured, without the password; empty if the chooser returned no server
	Err    error
}

func (e *ConnectError) Error() string {
	if e.Server == "" {
		return e.Err.Error()
	}
	return "connect to " + e.Server + ": " + e.Err.Error()
}
func (e *ConnectError) Unwrap() error { return e.Err }

// A CommandError reports that a server refused a command.
type CommandError struct {
	Command  string // the command's name on the wire, or "session" for a refusal that names no command
	Topic    string // empty if it has none
	Bookmark string // from the Command, if it has one
	Reason   string // as stated by the server
}

func (e *CommandError) Error() string {
	s := e.Command
	if e.Topic != "" {
		s += " " + strconv.Quote(e.Topic)
	}
	if e.Bookmark != "" {
		s += " with bookmark " + strconv.Quote(e.Bookmark)
	}
	if e.Reason == "" {
		return s + " refused by the server"
	}
	return s + " refused by the server: " + e.Reason
}

// Unwrap returns ErrNotAuthenticated, ErrNotEntitled or ErrOtherOwner if that is the reason, otherwise nil.
func (e *CommandError) Unwrap() error { return clientcore.CauseOf(e.Reason) }

// A RejectedError reports to the hook FailedWrite that a server refused a message for good:
// every server of the group would refuse it. If Err is an *UnsupportedError, the client has not
// sent the message. The publish store lets the message go when the handler
// returns. Later messages are still sent.
type RejectedError struct {
	// Publisher is the id of the store's life that the message belongs to, as holdfast store
	// inspect shows it.
	Publisher uint64
	Message   *pubstore.Message
	Reason    string // as stated by the server, or the text of Err
	// Err is nil or adds to Reason: an *UnsupportedError; ErrNotEntitled if the user may not publish the message;
	// ErrOutcomeUnknown if the message may be on a server all the same, together with ErrDiverged
	// if that is the cause.
	Err error
}

func (e *RejectedError) Unwrap() error { return e.Err }

func (e *RejectedError) Error() string {
	var unsupported *UnsupportedError
	if errors.As(e.Err, &unsupported) {
		return fmt.Sprintf("message %d to %q cannot be sent: %s", e.Message.Sequence, e.Message.Topic, e.Reason)
	}
	return fmt.Sprintf("message %d to %q rejected by the server: %s", e.Message.Sequence, e.Message.Topic, e.Reason)
}

// A PendingError ends a Flush, FlushSafe, Drain or wait for a Ticket if its context ended or the
// client stopped too early. The messages are still in the publish store and still on their way.
type PendingError struct {
	Messages int // number of messages not settled yet; FlushSafe and Ticket.AwaitSafe: not safe yet
	// Settled is set by FlushSafe and Ticket.AwaitSafe if Flush or Ticket.AwaitSettled would have
	// returned: the messages are settled, but not safe.
	Settled bool
	Err     error // the error of the context, or ErrClosed
}

func (e *PendingError) Error() string {
	if e.Settled {
		return fmt.Sprintf("%d messages not on both disks yet: %v", e.Messages, e.Err)
	}
	return fmt.Sprintf("%d messages not acknowledged yet: %v", e.Messages, e.Err)
}
func (e *PendingError) Unwrap() error { return e.Err }

// A TooLargeError reports a message that exceeds the limit of the server or of the publish store;
// both use this one type. The message is not in the store.
//
//	type TooLargeError struct {
//		Size, Max int    // size and limit in bytes
//		Header    bool   // the limit is pubstore.MaxHeader, for topic, key, correlation id and headers together
//		Setting   string // name of the setting with the limit; empty for MaxHeader
//	}
//
// Size counts the bytes that the limit is for: topic, key, correlation id and headers (Header), these and
// the body (limit of the store), or the whole frame (limit of the server).
type TooLargeError = pubstore.TooLargeError

// An UnsupportedError says that a server without our extensions, such as AMPS, cannot take a
// message as it is. Such a server takes no headers, and only base-64 characters in a correlation
// id. Publish returns the error while the last server that the client logged on to is one, and the
// message is not stored. A message that was stored before is not sent there: the hook FailedWrite
// receives a *RejectedError that wraps this error. With Config.DropHeaders headers are no reason.
//
//	type UnsupportedError struct {
//		Field  string // Headers or CorrelationID
//		Char   rune   // first character of CorrelationID that such a server does not take; utf8.RuneError: not UTF-8
//		Offset int    // of Char, in bytes
//	}
type UnsupportedError = clientcore.UnsupportedError

// A FrameTooLargeError reports that a server sent a frame longer than Config.MaxFrame. If the frame
// is a message, the error ends the subscription, or the replies to the command, that it is for. The
// message is not skipped: a client with a larger MaxFrame that resumes the bookmark subscription
// receives it. If the frame is not a message, the error ends the connection.
type FrameTooLargeError struct {
	Subscription string // its id; empty if the message is for no subscription
	Topic        string // topic of the message
	Bookmark     string
	Size         int64 // length of the frame, in bytes
	MaxFrame     int   // Config.MaxFrame
}

func (e *FrameTooLargeError) Error() string {
	s := "a frame"
	if e.Topic != "" {
		s = "a message of topic " + strconv.Quote(e.Topic)
	}
	if e.Bookmark != "" {
		s += " with bookmark " + e.Bookmark
	}
	if e.Subscription != "" {
		s = "subscription " + strconv.Quote(e.Subscription) + ": " + s
	}
	return s + fmt.Sprintf(" takes %d bytes, more than Config.MaxFrame (%d): raise MaxFrame", e.Size, e.MaxFrame)
}

// A TooManyPublishersError ends a bookmark subscription whose place would name more publishers than
// Config.MaxPublishers allows, or than fit into one command to a server without our extensions:
//
//	type TooManyPublishersError struct {
//		Subscription string // its id
//		Limit        int    // Config.MaxPublishers; 0: the server's limit applies
//		Bytes        int    // the longest command that such a server accepts, if that is the limit
//	}
//
// The place in the bookmark store stays unchanged, so a new subscription continues from it once the
// limit is raised. A subscription that begins at Epoch or Now gets a new place.
type TooManyPublishersError = clientcore.TooManyPublishersError

// A Gap is a range of one publisher's messages that retention has removed.
type Gap struct {
	Publisher, From, To uint64 // From and To are sequences, both included
}

// A GapError says that a bookmark subscription has missed messages: they are no longer in the log
// of any server that could be asked (R9). The client asks the subscription's own server first, and
// then the servers that synchronous links lead to from there. The error ends the subscription,
// unless it has AcceptGaps or OnGap. A new subscription with one of these options continues after
// the gap.
type GapError struct {
	Subscription string // its id
	Topic        string
	// Gaps are the ranges that all of these servers lack and that the application has not
	// discarded. It is nil if the server does not name them.
	Gaps []Gap
	// NotAsked are the instances that may have the messages and were not asked: they were away for
	// Config.RecoveryTimeout, are not among the servers of the client, or receive messages only
	// asynchronously.
	NotAsked []string
}

func (e *GapError) Error() string {
	s := "subscription " + strconv.Quote(e.Subscription) + " to " + strconv.Quote(e.Topic) +
		": messages are no longer in the servers' logs"
	for i, g := range e.Gaps {
		if i == 3 {
			s += fmt.Sprintf(" and %d more ranges", len(e.Gaps)-i)
			break
		}
		s += fmt.Sprintf("; publisher %d from %d to %d", g.Publisher, g.From, g.To)
	}
	if len(e.NotAsked) > 0 {
		s += "; not asked: " + strings.Join(e.NotAsked, ", ")
	}
	return s
}

// asCommandError converts a server's refusal of a command to a *CommandError.
func asCommandError(err error, topic string) error {
	var r *clientcore.Refusal
	if errors.As(err, &r) {
		return &CommandError{Command: r.Command, Topic: topic, Reason: r.Reason}
	}
	return err
}

// withOperation prefixes err with the name of the operation, unless err names it already.
func withOperation(operation string, err error) error {
	var refused *CommandError
	var gap *GapError
	var tooLarge *FrameTooLargeError
	if errors.As(err, &refused) || errors.As(err, &gap) || errors.As(err, &tooLarge) {
		return err
	}
	return fmt.Errorf("%s: %w", operation, err)
}
