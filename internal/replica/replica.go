package replica

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

// A Destination is a peer that this instance replicates to.
type Destination struct {
	Name           string
	Address        string        // empty: the peer dials us
	Sync           bool          // acks wait for it
	Topics         []string      // topics or patterns, as topic.Parse reads them; nil: all
	DowngradeAfter time.Duration // 0: never
	UpgradeWithin  time.Duration // 0: half of DowngradeAfter
}

// Options configure the links of an instance. Journal, Name and Group must be set.
type Options struct {
	Name   string // name of this instance
	Group  string // name of the group of failover equivalents
	Digest string // of the settings that decide rejections (R14); a peer with another digest is refused
	Run    uint64 // random number of this process, by which it detects a link to itself

	Journal      *journal.Journal                                            // the instance's journal, open until the links have ended
	Listener     net.Listener                                                // nil: nobody can dial this instance
	Dial         func(ctx context.Context, address string) (net.Conn, error) // default: by TCP
	Destinations []Destination                                               // none: this instance replicates to nobody
	Peers        []string                                                    // instances that may dial us although we do not replicate to them
	Bootstrap    bool                                                        // an empty journal without a cluster id begins a group at once
	MinSync      int                                                         // least number of counting sync destinations; a downgrade below it does not happen
	HoldBytes    int64                                                       // bytes of journal kept for an absent destination before it is given up; 0: half of the free disk

	// Secrets returns the secrets of which a link may use any, each of SecretBytes bytes. There is
	// more than one while the secret is replaced. It is called for each connection. Nil: there is
	// no secret.
	Secrets func() [][]byte
	// Secure puts TLS on a connection that was dialled to the peer of this name. Nil: no TLS.
	Secure func(ctx context.Context, nc net.Conn, name string) (net.Conn, error)
	// VerifyPeer returns an error if TLS has not proven that the other side of a connection has
	// this name. With neither Secrets nor VerifyPeer the name is believed without proof.
	VerifyPeer func(nc net.Conn, name string) error

	RejoinTimeout time.Duration    // bound on the wait for a peer at the start (R6); default 10s
	Heartbeat     time.Duration    // default 500ms; a link is lost after four intervals without a byte
	Log           *slog.Logger     // default: nothing is logged
	Now           func() time.Time // default time.Now
	Wall          func() time.Time // the wall clock, compared with the peers' clocks; default Now
	// DiskNearlyFull reports whether the disk is nearly full. While it is, the links refuse
	// records, and a refused record ends the link that brought it. Nil: never full.
	DiskNearlyFull func() bool

	// Permissions returns the version and a hash of the permissions of clients. A zero hash, and a
	// nil Permissions, mean that none are configured. Permissions is called from several goroutines
	// and must not block.
	Permissions func() (version uint64, hash [32]byte)

	// OnWatermark is called when safe(p) or settled(p) of these publishers may have moved. Nil
	// stands for all publishers, for example after a peer has connected or disconnected.
	// OnWatermark must not block. The slice is valid until it returns.
	OnWatermark func(publishers []uint64)
	// OnSyncStatus is called when SyncStatus has changed. It must not block.
	OnSyncStatus func()
	// OnStart is called by Start before anything else happens. It hands over the Links for the
	// other callbacks to use.
	OnStart func(*Links)
	// OnReceived is called when records from a peer have been appended. received has the highest
	// sequence of each publisher. OnReceived must not block. The slice is valid until it returns.
	OnReceived func(received []bookmark.Bookmark)
	// OnDiverged is called when publishers have been found to have diverged (R11), each with the
	// first number that is not proven equal. It must not block.
	OnDiverged func(diverged []bookmark.Bookmark)
	// OnClosed is called when all instances are about to forget publishers, each given with its
	// have: no instance will send a message up to that number. It must not block.
	OnClosed func(closed bookmark.Vector)
	// OnNotice is called when a peer reports a logon (R11). The peer gets the result and this
	// instance's have(p) as the answer. OnNotice must not block.
	OnNotice func(Notice) ledger.Reply
	// OnRefused is called when this instance or a peer has refused a link. peer is empty if this
	// instance has accepted the connection and does not know the peer. OnRefused must not block.
	OnRefused func(peer, address string, reason error)
	// OnEvent is called for the events that the status shows. It must not block. No lock is held.
	OnEvent func(Event)
	// OnOutdated is called when OutdatedReason begins to return a reason. It must not block.
	OnOutdated func()
}

// A Notice tells the peers that a client has logged on here (R11). Answers are their answers.
type (
	Notice  = ledger.Notice
	Answers = ledger.Answers
)

// A Status is the state of the links to and from one peer. server.LinkStatus, which users see,
// has the same fields and explains them.
type Status struct {
	Peer                                    string
	Sync, Outbound, Inbound, OneWay, Rivals bool
	State, Ack, Reason                      string
	GivenUp                                 bool
	OldestWaitMS                            int64
	LinkCounts
	OtherCluster, LeftOut bool
	PeerClock
	LinkProgress
}

// LinkCounts are counts of a link.
type LinkCounts struct {
	// Unacknowledged counts the records, as far as retention has not removed them, that the peer
	// has not acknowledged on any connection since this process started. Before its first
	// acknowledgement it counts all of them.
	Unacknowledged uint64 `json:"unacknowledged"`
	Sent           uint64 `json:"sent"`     // records, since the start, like all counters below
	Received       uint64 `json:"received"` // records
	Refused        uint64 `json:"refused"`  // records and connections
	Diverged       uint64 `json:"diverged"` // publishers
	Downgrades     uint64 `json:"downgrades"`
}

// A PeerClock compares the wall clock of a peer with the instance's own.
type PeerClock struct {
	// ClockSkewMS is how far the peer's wall clock is ahead of this instance's, estimated from the
	// last heartbeats. ClocksDisagree: the skew is above 5 seconds, so retention removes nothing by
	// age.
	ClockSkewMS    int64 `json:"clock_skew_ms"`
	ClocksDisagree bool  `json:"clocks_disagree"`
}

// A LinkProgress is what a peer has last said of a link, and the progress of both directions.
type LinkProgress struct {
	InboundSync bool   `json:"inbound_sync"` // the peer's acks wait for this instance
	StateThere  string `json:"state_there"`  // of the link to this instance, as the peer last said: catching-up, sync, live (async), left-out (downgraded); empty: not known
	HeardMS     int64  `json:"heard_ms"`     // since the last heartbeat on this connection; -1: none
	// Sending and Receiving are the progress of the two directions, as of the last heartbeats. Nil:
	// the link is down, or has no such direction.
	Sending   *Headway `json:"sending,omitempty"`
	Receiving *Headway `json:"receiving,omitempty"`
}

// An Event is an event of a link that the status shows.
type Event struct{ Kind, Peer, Text string }

// Kinds of events.
const (
	EventPeerBack    = "peer_back"     // the link to a peer is up
	EventPeerLost    = "peer_lost"     // it is down
	EventSingleBegan = "single_began"  // a sync destination is downgraded
	EventSingleEnded = "single_ended"  // it counts again
	EventCatchUpDone = "catch_up_done" // a peer has what it lacked; without a peer: this instance has
	EventGivenUp     = "given_up"      // no more is kept for an absent destination
)
