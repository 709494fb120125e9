package replica

import (
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// A linkRole is the peer's last description of its half of the link, on a connection with this
// process or an earlier one.
type linkRole struct {
	known   bool
	inbound bool // it replicates to us
	sync    bool // and it waits for our disk
}

// storedRoles returns the roles in the journal, by peer name.
func storedRoles(j *journal.Journal) map[string]linkRole {
	all := make(map[string]linkRole)
	if failpoint.On(failpoint.R6ForgetsPeers) {
		return all
	}
	for _, p := range j.Peers() {
		all[p.Name] = linkRole{known: true, inbound: p.Sends, sync: p.Sync}
	}
	return all
}

// update updates the role from a hello and reports whether it has changed.
func (r *linkRole) update(theirs *Hello) (changed bool) {
	now := linkRole{known: true, inbound: theirs.Outbound, sync: theirs.Outbound && theirs.Sync}
	changed = *r != now
	*r = now
	return changed
}

// delaysStart reports whether the start waits for a peer (R6). It waits for the peers that
// replicate to us. A peer that this instance has never met counts as one if it is a sync
// destination, because pairs replicate both ways, or if it is no destination, because it would have
// no other reason to link.
func (p *peer) delaysStart() bool {
	if p.role.known && !failpoint.On(failpoint.R6AwaitsAll) {
		return p.role.inbound
	}
	return p.dest.Sync || !p.outbound() || failpoint.On(failpoint.R6AwaitsAll)
}

// storeRole stores a peer's role in the journal. No record that the peer sends from now on is
// durable here before the role is.
func (l *Links) storeRole(name string, r linkRole) {
	p := journal.Peer{Name: name, Sends: r.inbound, Sync: r.sync}
	if err := l.o.Journal.RememberPeer(p); err != nil {
		l.o.Log.Error("cannot record whether a peer replicates here", "peer", name, "error", err)
	}
}
