package client

import (
	"fmt"
	"maps"
	"slices"
	"strings"

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

// Stats is a snapshot of a client. Counts begin at Dial.
type Stats struct {
	Name   string
	State  State
	Server ServerInfo // connected server, or the last one
	// Servers has the latest known state of each server, sorted by URI. The state comes from the
	// server itself, or from a later report of one of its peers. Servers that never accepted a
	// logon are missing.
	Servers []ServerInfo
	Moves   []Move // the last 16 moves between servers, latest last

	Attempts    int            // attempts to connect
	Logons      int            // attempts that a server accepted
	Failures    map[string]int // failed attempts and lost connections, by server
	LastFailure error
	// AsyncRefusals counts the logons that the client gave up because bookmark subscriptions would
	// have moved along an asynchronous path (ErrAsyncPath).
	AsyncRefusals int

	Publish       PublishStats
	Subscriptions []SubscriptionStats // sorted by id
}

// PublishStats is the part of Stats about publishing.
type PublishStats struct {
	Outstanding pubstore.Usage // messages in the store
	InFlight    int            // of these: sent on this connection and not acknowledged
	Sent        int            // publishes written to a connection
	Resent      int            // of these: publishes that may have been sent before
	Rejected    int            // messages that a server rejected
	GapRefusals int            // logons that the client gave up because of a publish gap (R4)
	Rollbacks   int            // number of times that the store was found rolled back (R10)
	Downgraded  bool           // acks come from one server only at the moment (R5)
}

// SubscriptionStats is the part of Stats about one subscription.
type SubscriptionStats struct {
	ID, Topic   string
	Delivered   int // messages given to the application
	Queued      int
	HeldBack    bool // FullyDurable: the server holds messages back until they are safe (R13)
	Outstanding int  // messages in the queue or with the application, not yet discarded
	Duplicates  int  // messages that were received again and dropped
	Dropped     int  // messages that SlowDropOldest dropped
	Pauses      int  // number of pauses because its queue was full (R12)
	Gaps        int  // ranges of messages that retention has removed
	Paused      bool // its queue overran, and the loop has not emptied it since
}

// Stats returns a snapshot. Its parts are read one after the other.
func (c *Client) Stats() (s Stats) {
	c.stats.change(func(now *Stats) {
		s = *now
		s.Failures, s.Moves = maps.Clone(now.Failures), slices.Clone(now.Moves)
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
