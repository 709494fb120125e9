package replica

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// A Change is what an AckState has just done.
type Change uint8

const (
	// Same: nothing.
	Same Change = iota
	// BecameDowngraded: the destination is left out of settled from now on.
	BecameDowngraded
	// BecameCounting: it counts again.
	BecameCounting
)

// An AckState says whether a sync destination counts for what is settled
// (R5). It starts counting and isn't safe for concurrent use.
type AckState struct {
	downgradeAfter time.Duration // 0: never
	upgradeWithin  time.Duration
	downgraded     bool
	downgrades     uint64
}

// NewAckState returns the state of a destination with these bounds;
// upgradeWithin 0 is half of downgradeAfter.
func NewAckState(downgradeAfter, upgradeWithin time.Duration) *AckState {
	if upgradeWithin <= 0 {
		upgradeWithin = downgradeAfter / 2
	}
	return &AckState{downgradeAfter: downgradeAfter, upgradeWithin: upgradeWithin}
}

// Downgraded reports whether the destination is left out, Downgrades how often it was.
func (a *AckState) Downgraded() bool   { return a.downgraded }
func (a *AckState) Downgrades() uint64 { return a.downgrades }

// Check does what is due. wait is for how long the oldest thing has waited,
// up says whether the destination is connected, spare whether it may be left
// out (MinSync).
func (a *AckState) Check(wait time.Duration, up, spare bool) Change {
	switch {
	case a.downgraded && up && wait < a.upgradeWithin:
		a.downgraded = false
		return BecameCounting
	case !a.downgraded && spare && a.downgradeAfter > 0 && wait >= a.downgradeAfter && !mut.On(mut.R5NeverDowngrade):
		a.downgraded = true
		a.downgrades++
		return BecameDowngraded
	}
	return Same
}

// Due returns when Check has to be called next if nothing else happens, given
// since when the oldest thing waits; false: not for time alone.
func (a *AckState) Due(since time.Duration, waits, spare bool) (time.Duration, bool) {
	if a.downgraded || !waits || !spare || a.downgradeAfter <= 0 || mut.On(mut.R5NeverDowngrade) {
		return 0, false
	}
	return since + a.downgradeAfter, true
}
