package client

import (
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A State is what a client is doing.
type State int

const (
	// Connecting: it dials a server or logs on.
	Connecting State = iota
	// Recovering: it is logged on, and sends again and subscribes again.
	Recovering
	// Live: everything flows.
	Live
	// Waiting: it waits before the next attempt.
	Waiting
	// Closed: it was closed or drained, or stopped by itself.
	Closed
)

var stateNames = [...]string{"connecting", "recovering", "live", "waiting", "closed"}

func (s State) String() string { return stateNames[s] }

// A ServerInfo is what a server said at logon, and of its state since.
type ServerInfo struct {
	Server     string // its URI, without a password
	Version    string
	Extended   bool      // it knows our extensions to the protocol
	Instance   string    // its name in its group; empty: it does not say
	Peers      []string  // the instances it replicates to synchronously: where bookmark subscriptions may move
	Sync       SyncState // how it stands to them; up to date as long as it is connected
	CatchingUp bool      // it serves without having caught up with its peers (R6)
	MaxMessage int       // largest message in bytes, 0 if it does not say
	Carries    bool      // it replicates the topics in Carried only; false: all, or it does not replicate
	Carried    []string  // topic patterns that its synchronous links carry
}

// Stats is a snapshot of a client.
type Stats struct {
	Name   string
	State  State
	Server ServerInfo // the one connected to, or last connected to
	// Servers is what each server said last, itself or by a peer that has been
	// asked since, in the order of their names. Those that never accepted a
	// logon are missing.
	Servers []ServerInfo
	Moves   []Move // from server to server, the last 16, latest last

	Attempts    int            // to connect
	Connects    int            // attempts that were accepted
	Failures    map[string]int // attempts that failed and connections lost, by server
	LastFailure error
	// AsyncRefusals counts the logons given up because bookmark subscriptions
	// would have moved along an asynchronous path (ErrAsyncPath).
	AsyncRefusals int

	Publish       PublishStats
	Subscriptions []SubscriptionStats // in the order of their ids
}

// PublishStats is the part of Stats about publishing.
type PublishStats struct {
	Outstanding pubstore.Usage // what the store keeps
	InFlight    int            // of these, sent on this connection and not acknowledged
	Sent        int            // publishes put on a wire
	Resent      int            // of these, those that may have been sent before
	Rejected    int            // messages that a server refused
	GapRefusals int            // logons given up because of a publish gap (R4)
	RollBacks   int            // times the store was found rolled back (R10)
	Downgraded  bool           // acks come from one server only at the moment (R5)
}

// SubscriptionStats is the part of Stats about one subscription.
type SubscriptionStats struct {
	ID, Topic   string
	Delivered   int // messages handed to the application
	Queued      int
	Waits       bool // FullyDurable: messages are held back until they are safe (R13)
	Outstanding int  // handed over or queued, and not discarded
	Duplicates  int  // received again and dropped
	Dropped     int  // given up by DropOldest
	Overruns    int  // times it was paused because its queue was full (R12)
	Gaps        int  // ranges of messages that retention had removed
	Paused      bool // its queue overran and has not been emptied since
}

// Stats returns a snapshot. Its parts are taken one after the other.
func (c *Client) Stats() (s Stats) {
	c.record.change(func(now *Stats) {
		s = *now
		s.Failures, s.Moves = maps.Clone(now.Failures), slices.Clone(now.Moves)
	})
	s.Name = c.name
	s.Servers = slices.SortedFunc(maps.Values(c.servers()), func(a, b ServerInfo) int { return strings.Compare(a.Server, b.Server) })
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
