package replica

import "github.com/holdfast-mq/holdfast/internal/failpoint"

// A link is one way if one side replicates to the other synchronously and the other does not
// replicate back. Acknowledged messages are on two disks all the same. But messages published on
// the other side stay there, so publishers avoid that side (R5).

// notReplicatedBack reports whether we replicate to the peer synchronously and it does not
// replicate back.
func (p *peer) notReplicatedBack() bool {
	return p.dest.Sync && p.role.known && !p.role.inbound
}

// oneWay reports whether the peer replicates to us synchronously and we do not replicate back.
func (p *peer) oneWay() bool { return p.role.sync && !p.outbound() }

func (l *Links) anyOneWayLocked() bool {
	for _, p := range l.peers {
		if p.oneWay() {
			return !failpoint.On(failpoint.R5OneWayInSync)
		}
	}
	return false
}

// describeAsymmetry describes how the promises of a link's two directions differ. The description
// is empty if they do not, or if the only direction is asynchronous.
func describeAsymmetry(ours, theirs *Hello) string {
	switch {
	case ours.Sync && !theirs.Outbound:
		return "the peer does not replicate back: messages published there never arrive here; name this instance in its replication.destinations"
	case theirs.Sync && !ours.Outbound:
		return "this instance does not replicate back to the peer, whose acks wait for it: messages published here never arrive there, " +
			"and publishers avoid this instance; name the peer in replication.destinations"
	case ours.Outbound && theirs.Outbound && ours.Sync != theirs.Sync:
		return "the link is synchronous in one direction and asynchronous in the other"
	}
	return ""
}
