package client

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A State is the present activity of a client.
type State int

const (
	// StateConnecting: the client dials a server or logs on.
	StateConnecting State = iota
	// StateRecovering: the client is logged on, and sends and subscribes again.
	StateRecovering
	// StateLive: the client sends and receives normally.
	StateLive
	// StateWaiting: the client waits before the next attempt.
	StateWaiting
	// StateClosed: the client was closed or drained, or stopped by itself.
	StateClosed
)

var stateNames = [...]string{"connecting", "recovering", "live", "waiting", "closed"}

// String returns the name of the state in lower case, such as "live". For any other value it is
// "state 7".
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("state %d", int(s))
	}
	return stateNames[s]
}

// A ServerInfo describes a server as it described itself at the logon, with the later changes of
// its state.
type ServerInfo struct {
	Server        string // URI, without a password
	Version       string
	Extended      bool       // knows our extensions to the protocol
	Instance      string     // its name in its group; empty if it does not state one
	Peers         []string   // the peers that it replicates to synchronously
	Sync          SyncStatus // state of replication to Peers; current while the client is connected
	CatchingUp    bool       // serves clients although it has not caught up with its peers (R6)
	MaxMessage    int        // largest message in bytes; 0 if it does not state a limit
	Partial       bool       // replicates only CarriedTopics; false: all topics, or none at all
	CarriedTopics []string   // patterns of the topics that its synchronous links carry
}

// Stats is a snapshot of a client. Counts begin at Dial and never fall. They are numbers of events,
// unless stated otherwise.
type Stats struct {
	Name   string     // Config.Name, or the name that the client has made up
	State  State      // what the client does at the moment
	Server ServerInfo // connected server, or the last one; zero before the first logon
	// Servers has the latest known state of each server, sorted by URI. The state comes from the
	// server itself, or from a later report of one of its peers. Servers that never accepted a
	// logon are missing.
	Servers []ServerInfo
	Moves   []Move // the last 16 moves between servers, latest last
	// MoveReasons counts all moves by Move.Reason.
	MoveReasons map[string]int
	// Offline is the time since Dial in which the client was not logged on to a server. It stops
	// when the client ends.
	Offline time.Duration

	Attempts    int            // attempts to connect
	Logons      int            // attempts that a server accepted
	Failures    map[string]int // failed attempts and lost connections, by the URI of the server without its password
	LastFailure error          // the latest of these, a *ConnectError; nil if there was none
	// AsyncRefusals counts the logons that the client gave up because bookmark subscriptions would
	// have moved along an asynchronous path (ErrAsyncPath).
	AsyncRefusals int

	Publish       PublishStats
	Subscriptions []SubscriptionStats // of the subscriptions that have not ended, sorted by id
}

// PublishStats is the part of Stats about publishing.
type PublishStats struct {
	Outstanding pubstore.Usage // messages in the store at the moment, also those of earlier processes; Appended and Safe are counts
	InFlight    int            // messages that were sent on this connection and not acknowledged at any level
	Sent        int            // messages written to a connection, each time that they are
	Resent      int            // part of Sent: messages that may have been sent before
	Rejected    int            // messages that a server rejected (hook FailedWrite)
	GapRefusals int            // logons given up because the server lacked acknowledged messages (ErrPublishGap)
	Rollbacks   int            // times that the store was found rolled back (ErrStoreRolledBack)
	Downgraded  bool           // acks come from one server only at the moment (hook Downgraded)
}

// SubscriptionStats is the part of Stats about one subscription. Counts begin at Subscribe. They
// are numbers of messages, unless stated otherwise.
type SubscriptionStats struct {
	ID, Topic   string
	Delivered   int  // given to the application; deliveries that Message.Redeliveries counts are left out
	Queued      int  // in the queue at the moment
	Outstanding int  // in the queue or with the application at the moment, not discarded; 0 without From
	Duplicates  int  // received again and dropped
	Dropped     int  // dropped by SlowDropOldest
	Pauses      int  // times that the queue was full, so that the subscription was paused (hook Paused)
	Gaps        int  // ranges of messages that no server had any more (GapError)
	Paused      bool // paused at the moment: its queue was full, and the loop has not emptied it since
	HeldBack    bool // FullyDurable: the server holds messages back at the moment until they are safe

	HandlerErrors int // times that the function of Handle returned an error
	Retries       int // times that Handle called the function again for a message (Retry)
	// LastTime is the Message.Time of the latest message that the application was given; only with
	// WithTime. It is the lag of a subscription as a time.
	LastTime time.Time
}

// Stats returns a snapshot. Its parts are read one after the other.
func (c *Client) Stats() (s Stats) {
	c.stats.change(func(now *Stats) {
		s = *now
		s.Failures, s.Moves, s.MoveReasons = maps.Clone(now.Failures), slices.Clone(now.Moves), maps.Clone(now.MoveReasons)
		s.Offline = c.stats.offline(time.Now())
	})
	s.Name = c.name
	s.Servers = slices.SortedFunc(maps.Values(c.knownServers()), func(a, b ServerInfo) int { return strings.Compare(a.Server, b.Server) })
	p := &s.Publish
	p.Outstanding = c.store.Usage()
	c.core.do(func(core *clientcore.Session) {
		p.Sent, p.Resent = c.core.sent, c.core.resent
		p.InFlight, p.Downgraded = core.Publisher().InFlight(), core.Publisher().Downgraded()
	})
	for _, sub := range c.subscriptions() {
		s.Subscriptions = append(s.Subscriptions, sub.Stats())
	}
	slices.SortFunc(s.Subscriptions, func(a, b SubscriptionStats) int { return strings.Compare(a.ID, b.ID) })
	return s
}
