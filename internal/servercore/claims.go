package servercore

import (
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

// maxClaims bounds the number of remembered claims of peers.
const maxClaims = 1 << 16

// isOutbid reports whether a peer's claim loses to a claim of another peer that was answered
// before. If it does not lose, isOutbid remembers it. So two peers that are not linked with each
// other learn of each other's sessions from a third instance. A pair has no third instance (R11).
func (r *Registry) isOutbid(c Claim, group ledger.Group) bool {
	if c.Publisher == 0 || len(group.SyncPeers()) < 2 || failpoint.On(failpoint.R11ClaimForgotten) {
		return false
	}
	r.mu.Lock()
	old, known := r.claims[c.Publisher]
	r.mu.Unlock()
	if known && old.Instance != c.Instance && ContestAcross(old, c, true) == OldWins && group.Linked(old.Instance) {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.claims) >= maxClaims && !known {
		clear(r.claims)
	}
	r.claims[c.Publisher] = c
	return false
}
