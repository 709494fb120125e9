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
	Sync           bool          // counts for acks
	Topics         []string      // topics or patterns, as topic.Parse reads them; nil: all
	DowngradeAfter time.Duration // 0: never
	UpgradeWithin  time.Duration // 0: half of DowngradeAfter
}

// Options say how to link an instance with its peers. Journal, Name and Group must be set.
type Options struct {
	Name   string // of the instance
	Group  string // of the instances that take each other's place
	Digest string // of what decides what is rejected (R14); a peer with another is refused
	Run    uint64 // random, one per start of the process: tells a link to itself

	Journal      *journal.Journal                                            // the instance's, open until the links have ended
	Listener     net.Listener                                                // nil: nobody dials us
	Dial         func(ctx context.Context, address string) (net.Conn, error) // default: by TCP
	Destinations []Destination                                               // none: nobody gets anything
	Peers        []string                                                    // that may dial us although we don't replicate to them
	Secret       []byte                                                      // SecretBytes that all instances of the group know; nil: a peer is believed its name
	Bootstrap    bool                                                        // an empty journal without a cluster id begins a group at once
	MinSync      int                                                         // a downgrade that would leave fewer counting sync destinations does not happen
	Hold         int64                                                       // bytes of journal kept for an absent destination before it is given up; 0: half of the free disk

	RejoinTimeout time.Duration    // R6; default 10s
	Heartbeat     time.Duration    // default 500ms; four times as long without a sign: lost
	Log           *slog.Logger     // default: nothing is logged
	Now           func() time.Time // default time.Now
	Wall          func() time.Time // the wall clock, default Now: peers compare theirs with it
	// Full reports that the disk is nearly full: records are refused for now,
	// which ends the link. Nil: never.
	Full func() bool

	// OnWatermark is called when safe or settled of publishers may have
	// moved; nil means: of any, which is also said when a peer comes or goes.
	// Must not block. The slice is valid until it returns.
	OnWatermark func(publishers []uint64)
	// OnSyncStatus is called when SyncStatus has changed. Must not block.
	OnSyncStatus func()
	// OnStart is called by Start before anything else happens: what the other
	// functions need of the links it can keep.
	OnStart func(*Links)
	// OnRaised is called when a peer has sent records of publishers up to these
	// sequences. Must not block. The slice is valid until it returns.
	OnRaised func(moved []bookmark.Bookmark)
	// OnDiverged is called when publishers have been found to have diverged (R11),
	// each with the first number that is not proven equal. Must not block.
	OnDiverged func(diverged []bookmark.Bookmark)
	// OnClosed is called when all instances are about to forget publishers, each
	// with its have: nothing up to there will come from any of them. Must not block.
	OnClosed func(closed bookmark.Vector)
	// OnNotice is called when a peer tells of a logon (R11), before the
	// answer goes back, which is its reply and this instance's have(p). Must not block.
	OnNotice func(Notice) ledger.Reply
	// OnOutdated is called when Outdated has a reason. Must not block.
	OnOutdated func()
}

// A Notice tells the peers that a client has logged on here (R11); Answers are
// what they say to it.
type (
	Notice  = ledger.Notice
	Answers = ledger.Answers
)

// A Status is the state of the links to and from one peer.
type Status struct {
	Peer         string `json:"peer"`
	Sync         bool   `json:"sync"`             // as configured, ours to the peer
	Outbound     bool   `json:"outbound"`         // we replicate to it
	Inbound      bool   `json:"inbound"`          // it replicates to us
	OneWay       bool   `json:"one_way"`          // one of the two replicates to the other synchronously, and the other does not replicate back
	Rivals       bool   `json:"rivals"`           // two processes run under the peer's name, by a sign within the last minute
	State        string `json:"state"`            // down, catching-up, sync, live (async)
	Ack          string `json:"ack,omitempty"`    // counting, downgraded; empty if async
	Reason       string `json:"reason,omitempty"` // why down, empty if it is up
	GivenUp      bool   `json:"given_up"`         // fell behind by more than Hold
	OldestWaitMS int64  `json:"oldest_wait_ms"`   // how long the oldest has waited that it has not acknowledged
	// Unacknowledged is how many records above their floors it has not
	// acknowledged, on any connection since this process started: before the
	// first one, all that are here.
	Unacknowledged uint64 `json:"unacknowledged"`
	Sent           uint64 `json:"sent"`     // records, since the start, as everything below
	Received       uint64 `json:"received"` // records
	Refused        uint64 `json:"refused"`  // records and connections
	Diverged       uint64 `json:"diverged"` // publishers
	Downgrades     uint64 `json:"downgrades"`
	// OtherCluster: an instance of another cluster was met under the peer's name, within the last minute.
	OtherCluster bool `json:"other_cluster"`
	// ClockSkewMS is by how much the peer's wall clock is ahead of ours, as estimated from the
	// last heartbeats; ClocksDisagree: it is more than MaxSkew, and nothing goes by age.
	ClockSkewMS    int64 `json:"clock_skew_ms"`
	ClocksDisagree bool  `json:"clocks_disagree"`
}
