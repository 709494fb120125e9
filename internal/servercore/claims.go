package servercore

import (
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// maxClaims bounds the claims of peers that are remembered.
const maxClaims = 1 << 16

// outbid reports whether a peer's claim has lost to one of another peer that was
// answered before, and remembers it if it has not. Two peers that are not linked
// with each other thus learn of each other's sessions from a third instance; in a
// pair there is nobody to tell (R11).
func (r *Registry) outbid(c Claim, group ledger.Group) bool {
	if c.Publisher == 0 || len(group.SyncPeers()) < 2 || mut.On(mut.R11ClaimForgotten) {
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
