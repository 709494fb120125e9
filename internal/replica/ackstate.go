package replica

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A Change is the result of AckState.Update.
type Change uint8

const (
	// Unchanged: the state has not changed.
	Unchanged Change = iota
	// BecameDowngraded: from now on the destination is left out of settled.
	BecameDowngraded
	// BecameCounting: the destination counts again.
	BecameCounting
)

// An AckState decides whether a sync destination counts for settled (R5). At first it counts. An
// AckState is not safe for concurrent use.
type AckState struct {
	downgradeAfter time.Duration // 0: never
	upgradeWithin  time.Duration
	downgraded     bool
	downgrades     uint64
	leaveOut       bool // an operator leaves it out: to be downgraded by the next Update
	held           bool // and it stays downgraded until EndLeaveOut
}

// NewAckState returns the state of a destination with these bounds. An upgradeWithin of 0 means
// half of downgradeAfter.
func NewAckState(downgradeAfter, upgradeWithin time.Duration) *AckState {
	if upgradeWithin <= 0 {
		upgradeWithin = downgradeAfter / 2
	}
	return &AckState{downgradeAfter: downgradeAfter, upgradeWithin: upgradeWithin}
}

// Downgraded reports whether the destination is left out. Downgrades counts its downgrades.
func (a *AckState) Downgraded() bool   { return a.downgraded }
func (a *AckState) Downgrades() uint64 { return a.downgrades }

// Update changes the state if a change is due. wait is the age of the oldest record or publish that
// waits for the destination, 0 if none does. up says whether the destination is connected,
// mayDowngrade whether MinSync permits a downgrade.
func (a *AckState) Update(wait time.Duration, up, mayDowngrade bool) Change {
	switch {
	case a.downgraded && up && wait < a.upgradeWithin && !a.held:
		a.downgraded = false
		return BecameCounting
	case !a.downgraded && mayDowngrade && a.isDue(wait) && !failpoint.On(failpoint.R5NeverDowngrade):
		a.downgraded, a.leaveOut = true, false
		a.downgrades++
		return BecameDowngraded
	}
	return Unchanged
}

// isDue reports whether a downgrade is due.
func (a *AckState) isDue(wait time.Duration) bool {
	return a.leaveOut || a.downgradeAfter > 0 && wait >= a.downgradeAfter
}

// Due returns the time at which Update must be called next if nothing else happens. since is the
// time at which the oldest wait began. It returns false if no change depends on time alone.
func (a *AckState) Due(since time.Duration, waiting, mayDowngrade bool) (time.Duration, bool) {
	if a.downgraded || !waiting || !mayDowngrade || a.downgradeAfter <= 0 || failpoint.On(failpoint.R5NeverDowngrade) {
		return 0, false
	}
	return since + a.downgradeAfter, true
}
