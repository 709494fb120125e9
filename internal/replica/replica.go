package replica

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// A Destination is a peer that this instance replicates to.
type Destination struct {
	Name           string
	Address        string        // empty: the peer dials us
	Sync           bool          // counts for acks
	Topics         []string      // patterns (wire.md 11); nil: all
	DowngradeAfter time.Duration // 0: never
	UpgradeWithin  time.Duration // 0: half of DowngradeAfter
}

// Options say how to link an instance with its peers. Journal, Name and Group must be set.
type Options struct {
	Name, Group string
	Digest      string // of what decides what is rejected (R14); a peer with another is refused
	Run         uint64 // random, one per start of the process: tells a link to itself

	Journal      *journal.Journal
	Listener     net.Listener // nil: nobody dials us
	Dial         func(ctx context.Context, address string) (net.Conn, error)
	Destinations []Destination
	MinSync      int   // a downgrade that would leave fewer counting sync destinations does not happen
	Hold         int64 // bytes of journal kept for an absent destination before it is given up

	RejoinTimeout time.Duration // R6; default 10s
	Heartbeat     time.Duration // default 500ms; four times as long without a sign: lost
	Log           *slog.Logger
	Now           func() time.Time // default time.Now

	// OnWatermark is called when safe or settled of publishers may have
	// moved; nil means: of any. Must not block.
	OnWatermark func(publishers []uint64)
	// OnNotice is called when a peer tells of a logon (R11), before its
	// answer, this instance's have(p), goes back. Must not block.
	OnNotice func(Notice)
}

// A Notice tells the peers that a publisher has logged on here (R11).
type Notice struct {
	ClientName string
	User       string
	Publisher  uint64
	Life       string // empty: a plain client
	Counter    uint64 // of the logon, 0: a plain client
	Instance   string // where it logged on
}

// Links are an instance's links to its peers. Safe for concurrent use.
type Links struct{}

// Start starts linking. The instance may serve clients when Ready is closed.
func Start(o Options) (*Links, error) { panic("TODO") }

// Ready is closed once this instance has what its peers' hello vectors said,
// or RejoinTimeout has passed without progress (R6). With no peer to wait for
// it is closed at once. A damaged journal's is closed only after it has been healed (R8).
func (l *Links) Ready() <-chan struct{} { panic("TODO") }

// CatchingUp reports whether Ready was closed without having caught up, and
// this is still so.
func (l *Links) CatchingUp() bool { panic("TODO") }

// Appended and Durable tell the links what the journal did; they are what
// journal.Options.OnAppend and OnDurable call. They don't block.
func (l *Links) Appended(publisher, sequence uint64) { panic("TODO") }
func (l *Links) Durable(moved []journal.Moved)       { panic("TODO") }

// Safe returns safe(p), Settled settled(p) of guarantees' words.
func (l *Links) Safe(publisher uint64) uint64    { panic("TODO") }
func (l *Links) Settled(publisher uint64) uint64 { panic("TODO") }

// Single reports whether acks are of level single at the moment: a sync
// destination is left out, or there is none although there are destinations.
func (l *Links) Single() bool { panic("TODO") }

// Waits notes that something that is not settled is waited for from now on: a
// replayed duplicate, or a logon that is held back (R5).
func (l *Links) Waits(publisher, sequence uint64) { panic("TODO") }

// Notify tells the peers of a logon and waits for their answers until ctx
// ends. have is the highest answer; all reports whether every configured
// destination and connected peer has answered.
func (l *Links) Notify(ctx context.Context, n Notice) (have uint64, all bool) { panic("TODO") }

// Reachable reports whether any peer is connected.
func (l *Links) Reachable() bool { panic("TODO") }

// Carried returns the topic patterns that every sync destination carries; nil: all.
func (l *Links) Carried() []string { panic("TODO") }

// Held reports whether a destination still needs a segment with these highest
// sequences (R2, R5), for journal.Retention.
func (l *Links) Held(highest bookmark.Vector) bool { panic("TODO") }

// Status returns the state of each link, ordered by peer.
func (l *Links) Status() []Status { panic("TODO") }

// Close ends all links and waits for their goroutines.
func (l *Links) Close() error { panic("TODO") }

// A Status is the state of the links to and from one peer.
type Status struct {
	Peer                              string
	Sync                              bool   // as configured, ours to the peer
	Outbound                          bool   // we replicate to it
	Inbound                           bool   // it replicates to us
	State                             string // down, catching-up, sync, live (async)
	Ack                               string // counting, downgraded; empty if async
	Reason                            string // why down, empty if it is up
	GivenUp                           bool   // fell behind by more than Hold
	OldestWait                        time.Duration
	Sent, Received, Refused, Diverged uint64
	Downgrades                        uint64
}
