package servercore

import (
	"sync/atomic"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/topic"
)

// An Instance is what the sessions of one instance share. Its fields are set
// before the first session and constant from then on. Safe for concurrent use.
type Instance struct {
	Name       string
	Version    string     // for logon acks
	Run        uint64     // random, one per start of the process
	MaxMessage int        // bytes of a message with its header
	Logged     *topic.Set // topics that the ledger takes
	Ledger     ledger.Ledger
	Registry   *Registry
	Stopping   func() bool // the instance is about to end its sessions; nil: never
	Full       func() bool // the disk is nearly full: nothing new is recorded for now; nil: never
	// Refused is called when a client is refused that cannot go on by itself, with
	// the reason. Nil: nobody asks. Must not block.
	Refused func(reason string)
	// Publishers returns how many publishers the instance knows; nil: it is not said.
	Publishers func() int
	Limits     Limits
	Counts     Counters

	held  budget // by all sessions
	scout scout
}

// Counters count what has happened since the start.
type Counters struct {
	Logons, TurnedAway, Fenced, Slow          atomic.Uint64
	Published, Duplicates, Refused, Differing atomic.Uint64
	Delivered, PublishGaps, Gaps, DiskFull    atomic.Uint64
	Outdated                                  atomic.Uint64
}

func (i *Instance) refused(reason string) {
	if i.Refused != nil {
		i.Refused(reason)
	}
}

// SyncStatus returns how the instance stands to its sync destinations.
func (i *Instance) SyncStatus() syncstatus.Status {
	if i.Stopping != nil && i.Stopping() {
		return syncstatus.Stopping
	}
	return i.Ledger.SyncStatus()
}

// runPublisher is the publisher of messages that a client sends without a
// sequence: of its name, this instance and this start, counted from 1 (R1).
func (i *Instance) runPublisher(client string) bookmark.Identity {
	return bookmark.OfRun(client, i.Name, i.Run)
}

// isReplicated reports whether every sync link surely carries all topics of a
// subscription (R3).
func (i *Instance) isReplicated(p topic.Pattern) bool {
	if mut.On(mut.R3NotSaid) {
		return true
	}
	set, err := topic.NewSet(i.Ledger.Carried())
	return err == nil && set.Covers(p)
}
