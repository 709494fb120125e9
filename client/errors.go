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
	// ErrClosed reports a client that was closed or drained, or that stopped
	// by itself; then the error also is what it stopped for (the publish
	// store's *FailedError, ErrOtherName or ErrClosed). What the
	// publish store keeps is sent by the next client that is given the store.
	ErrClosed = errors.New("client is closed")

	// ErrPublishGap says that a server lacks messages that both servers once
	// acknowledged, so that nothing may be published to it (R4). The client
	// goes on to the next server by itself and comes back; it ends when the
	// server has caught up. Renew is for who will not wait, and
	// Config.AllowPublishGap for servers without our extensions.
	ErrPublishGap = clientcore.ErrPublishGap

	// ErrOldIncarnation says that a server is one that its group has left behind: it
	// had no part in a decree that the client's stores have seen (R10). The client
	// goes on to the next server. Such a server's operator empties its journal.
	ErrOldIncarnation = clientcore.ErrOldIncarnation

	// ErrDiskFull says that a server takes no publishes for now, since its disk is
	// nearly full (R7). Nothing is rejected or lost: the client keeps its messages
	// and goes on to the next server, with growing delays as long as all say so.
	ErrDiskFull = clientcore.ErrDiskFull

	// ErrNameInUse says that another process uses the client name (R11). The
	// client waits for 5 seconds, each further time twice as long up to a minute,
	// and connects again: the other process may be anybody's. Of a server without our
	// extensions it is a conclusion: it has closed three connections in a row within 5
	// seconds of the logon.
	ErrNameInUse = clientcore.ErrNameInUse

	// ErrStoreRolledBack says that a server has more of the publish store than
	// the store ever gave out: it was restored from a backup, or copied, or the
	// server is wrong. The client has begun a new life of it (R10), at most one a
	// minute for each server, and has left the server for the next one; what the
	// store lost is on the servers.
	ErrStoreRolledBack = clientcore.ErrRolledBack

	// ErrOtherLife says that a server has another publisher under the id of the
	// store's life, which chance does not bring about. The client has begun a new
	// life, within the bounds of ErrStoreRolledBack; what the store keeps of the
	// former one is offered to the next server, and later to this one again.
	ErrOtherLife = clientcore.ErrOtherLife

	// ErrDiverged says that the servers have, or may have, two contents for one
	// number of the store's life: two copies of the store are in use, or somebody
	// knows its life (R11). Nothing more of that life is taken anywhere. The client
	// has begun a new one, within the bounds of ErrStoreRolledBack. What the store
	// kept of the former life has the outcome "outcome unknown", is told to
	// FailedWrite, and has left the store: publish it again if it may come twice.
	// The error is a *DivergedError.
	ErrDiverged = clientcore.ErrDiverged

	// ErrOutcomeUnknown says that nobody can tell whether a server has a message. As the
	// error of a Ticket: the client knows nothing of the message, which an earlier
	// process published and let go, or which is none of this store. As a part of a
	// RejectedError: the servers have forgotten the publisher, or it has diverged.
	ErrOutcomeUnknown = clientcore.ErrOutcomeUnknown

	// ErrSlowConsumer ends a subscription without bookmark, or the replies to
	// a command, that the application takes too slowly. Subscribe again, take
	// messages faster, or subscribe with a bookmark: then the server's log
	// waits for you.
	ErrSlowConsumer = clientcore.ErrSlowConsumer

	// ErrNotReplicated ends a bookmark subscription that would have to move
	// to another server, although its topic is not replicated to that one
	// (R3). AllowUnreplicated has it move all the same. See ErrAsyncPath for
	// servers that nothing is replicated to synchronously.
	ErrNotReplicated = clientcore.ErrNotReplicated

	// ErrAsyncPath says that a server was passed over because a bookmark
	// subscription would have moved to it along an asynchronous path: it is
	// none of the synchronous peers of the server that the subscription was on
	// last, and may lack what that one delivered or acknowledged (R3). The
	// client goes on to the next server and comes back. AllowUnreplicated, at
	// each bookmark subscription, has it stay.
	ErrAsyncPath = errors.New("bookmark subscriptions were on a server that does not replicate to this one synchronously")

	// ErrLagging says that a ready chooser has passed a server over that lacks,
	// or may lack, what its peers have (SyncCatchingUp), as long as there are
	// others to try.
	ErrLagging = errors.New("server has not caught up with its peers")

	// ErrAsync says the same of a server without a synchronous peer (SyncAsync).
	ErrAsync = errors.New("server has no synchronous peer")

	// ErrOneWay says the same of a server that does not replicate back to one that
	// replicates to it synchronously (SyncOneWay).
	ErrOneWay = errors.New("server does not replicate back to its peer")

	// ErrPreferred is why a client left a server, if one can be reached that
	// its chooser prefers.
	ErrPreferred = errors.New("a server that is preferred can be reached")

	// ErrStopping is why a connection ended whose server had said that it stops.
	ErrStopping = errors.New("server stops")

	// ErrDisconnected ends a command whose connection was lost before it was
	// answered. Whether the server has executed it is not known.
	ErrDisconnected = errors.New("connection lost")

	// ErrTimeout says that a server did not answer in time.
	ErrTimeout = clientcore.ErrTimeout

	// ErrInUse says that a subscription is being read by another loop.
	ErrInUse = errors.New("subscription is being read by another loop")

	// ErrProtocol says that a server sent what the protocol does not allow.
	ErrProtocol = clientcore.ErrProtocol

	// ErrNoSubscription reports a mark of a subscription that the client does not have.
	ErrNoSubscription = errors.New("client has no such subscription")

	errUnsubscribed = errors.New("subscription has ended")
	errNoAnswerYet  = errors.New("no answer yet")
)

// A DivergedError says which publisher has diverged, and from which message on
// (ErrDiverged).
type DivergedError = clientcore.DivergedError

// A ConnectError says why a server could not be used.
type ConnectError struct {
	Server string // as configured, without the password; empty: the chooser named none
	Err    error
}

func (e *ConnectError) Error() string {
	if e.Server == "" {
		return e.Err.Error()
	}
	return "connect to " + e.Server + ": " + e.Err.Error()
}
func (e *ConnectError) Unwrap() error { return e.Err }

// A CommandError is a command that a server refused.
type CommandError struct {
	Command  string // as on the wire
	Topic    string // empty if it has none
	Bookmark string // of a Command that gave one
	Reason   string // the server's words
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

// A RejectedError tells the failed-write handler of a message that a server
// refused for good: every server of the group would. The publish store lets
// it go when the handler returns; later messages are sent all the same.
type RejectedError struct {
	Publisher uint64 // of the life of the store that the message is of, as holdfast store inspect shows it
	Message   *pubstore.Message
	Reason    string // the server's words
	// Err is nil, or says more than Reason: ErrOutcomeUnknown if the message may be on
	// a server all the same, with ErrDiverged if that is why.
	Err error
}

func (e *RejectedError) Unwrap() error { return e.Err }

func (e *RejectedError) Error() string {
	return fmt.Sprintf("message %d to %q rejected by the server: %s", e.Message.Sequence, e.Message.Topic, e.Reason)
}

// An UnsettledError ends a Flush, FlushSafe, Drain or wait for a Ticket whose context ended, or
// whose client stopped, too early. The messages are still in the publish
// store and still on their way.
type UnsettledError struct {
	Messages int // so many are not settled yet; of FlushSafe and Ticket.Safe: not safe yet
	// Settled says, of these two, that Flush or Ticket.Settled would have returned:
	// servers have them all, but not both on disk.
	Settled bool
	Err     error // of the context, or ErrClosed
}

func (e *UnsettledError) Error() string {
	if e.Settled {
		return fmt.Sprintf("%d messages not on both disks yet: %v", e.Messages, e.Err)
	}
	return fmt.Sprintf("%d messages not acknowledged yet: %v", e.Messages, e.Err)
}
func (e *UnsettledError) Unwrap() error { return e.Err }

// A TooLargeError reports a message that is larger than the server takes, or
// than the publish store does; the two have one type. It is not in the store.
type TooLargeError = pubstore.TooLargeError

// A FrameTooLargeError ends a subscription, or the replies to a command, to
// which a server sends a message in a frame that is longer than
// Config.MaxFrame; the message is skipped for nobody. Resumed by a client with
// a larger MaxFrame, a bookmark subscription goes on with it. Where the frame is
// not a message, the error is why a connection ended.
type FrameTooLargeError struct {
	Subscription string // its id; empty: not of a subscription
	Topic        string // of the message
	Bookmark     string
	Size         int64 // of the frame, in bytes
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

// A PublishersError ends a bookmark subscription whose place would name more
// publishers than Config.MaxPublishers allows, or than a server without our
// extensions takes in one command:
//
//	type PublishersError struct {
//		Subscription string // its id
//		Limit        int    // Config.MaxPublishers; 0: the server's limit counts
//		Bytes        int    // the longest command that such a server takes, if that is the limit
//	}
//
// The place in the bookmark store stays as it was, so that a new subscription goes
// on from it once the limit is raised; one that begins at Epoch or Now has a new
// place.
type PublishersError = clientcore.PublishersError

// A Gap is a range of one publisher's messages that retention has removed.
type Gap struct {
	Publisher, From, To uint64 // From and To are sequences, both included
}

// A GapError says that messages that a bookmark subscription has not seen are no
// longer in the log of any server that could be asked (R9): of its own server, and
// of those along synchronous links from there, which the client asks first. Without
// AcceptGaps or OnGap it ends the subscription; a new one with either of these
// goes on behind the gap.
type GapError struct {
	Subscription string // its id
	Topic        string
	Gaps         []Gap // what all of them lack and the application has not discarded; nil if the server does not say
	// Unasked are the instances that may have the messages and were not asked:
	// they were away for Config.RecoveryTimeout, are not among the servers of the
	// client, or are fed asynchronously only.
	Unasked []string
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
	if len(e.Unasked) > 0 {
		s += "; not asked: " + strings.Join(e.Unasked, ", ")
	}
	return s
}

// inWords says a server's refusal of a command as this package does.
func inWords(err error, topic string) error {
	var r *clientcore.Refusal
	if errors.As(err, &r) {
		return &CommandError{Command: r.Command, Topic: topic, Reason: r.Reason}
	}
	return err
}

// doing says what was being done, unless err names it already.
func doing(what string, err error) error {
	var refused *CommandError
	var gap *GapError
	var long *FrameTooLargeError
	if errors.As(err, &refused) || errors.As(err, &gap) || errors.As(err, &long) {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}
