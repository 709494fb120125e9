package servercore

import (
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/histogram"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/topic"
)

// An Instance is the state that all sessions of one instance share. Its fields are set before the
// first session and constant from then on. It is safe for concurrent use.
type Instance struct {
	Name       string
	Version    string     // for logon acks
	Run        uint64     // random, one per process start
	MaxMessage int        // bytes of a message with its header
	Logged     *topic.Set // topics that go into the ledger
	Ledger     ledger.Ledger
	Registry   *Registry
	Stopping   func() bool // the instance is about to end its sessions; nil: never
	Full       func() bool // the disk is nearly full, so that no new message is recorded; nil: never
	// Behind returns the peer that may have acknowledged messages which this instance lacks, and why it
	// may. The reason is empty if all peers are linked and none has more; the peer may be empty. Nil:
	// there is none.
	Behind func() (peer, reason string)
	// OnRefused is called with the reason when a client is refused that cannot recover by itself.
	// It may be nil. It must not block.
	OnRefused func(reason string)
	// OnEvent is called for the events of a session that belong in an audit log. It may be nil. It
	// must not block. No lock is held.
	OnEvent func(*Session, Event)
	// Publishers returns the number of publishers that the instance knows. Nil: unknown.
	Publishers func() int
	// MayReject reports whether no peer may have accepted a message that its user may not publish here.
	// Nil: there are no users.
	MayReject func(publisher, sequence uint64) bool
	// Now is the clock for the limits of users. Nil: time stands still.
	Now    func() time.Time
	Limits Limits
	Counts Counters

	sharedState
}

// sharedState is the state of an Instance that its sessions change.
type sharedState struct {
	memory   budget // of all sessions
	users    users
	scout    scout
	fullDisk fullDisk
	outdated atomic.Bool // the log says that a client has seen a later incarnation
}

// Counters are event counts since the start of the process.
type Counters struct {
	Logons, TurnedAway, Fenced, Slow          atomic.Uint64
	Published, Duplicates, Refused, Differing atomic.Uint64
	Delivered, PublishGaps, Gaps, DiskFull    atomic.Uint64
	NotEntitled, Paused, AuthFailures         atomic.Uint64
	PublishedBytes                            atomic.Uint64 // of the log; of unlogged messages the body
	ReceivedBytes, SentBytes                  atomic.Uint64 // of the connections of clients; the driver counts them

	Refusals RefusalCounts
	AckTimes histogram.Histogram // from the receipt of a message with a sequence to its persisted ack
}

func (i *Instance) now() time.Time {
	if i.Now == nil {
		return time.Time{}
	}
	return i.Now()
}

func (i *Instance) notifyRefused(reason string) {
	if i.OnRefused != nil {
		i.OnRefused(reason)
	}
}

// SyncStatus returns the state of the instance's sync destinations.
func (i *Instance) SyncStatus() syncstatus.Status {
	if i.Stopping != nil && i.Stopping() {
		return syncstatus.Stopping
	}
	return i.Ledger.SyncStatus()
}

// runPublisher returns the publisher of a client's messages without a sequence. It is made from the
// authenticated user, the client name, this instance and this process start, and counts from 1 (R1).
func (i *Instance) runPublisher(user, client string) bookmark.Identity {
	if user != "" {
		client = user + "\x00" + client // no name has a zero byte
	}
	return bookmark.IdentityOfRun(client, i.Name, i.Run)
}

// isReplicated reports whether it is certain that every sync link carries all topics of a pattern
// (R3).
func (i *Instance) isReplicated(p topic.Pattern) bool {
	if failpoint.On(failpoint.R3ClaimsReplicated) {
		return true
	}
	set, err := topic.NewSet(i.Ledger.CarriedTopics())
	return err == nil && set.Covers(p)
}
