package replica

import "github.com/holdfast-mq/holdfast/internal/mut"

// A link is one way if one side replicates to the other, its acks waiting for that
// disk, and the other side does not replicate back. What is acknowledged is on two
// disks all the same, but what is published on the other side stays there. So it is
// that side which publishers pass over (R5).

// noWayBack reports whether the peer is one to which we replicate synchronously
// and which does not replicate back.
func (p *peer) noWayBack() bool {
	return p.dest.Sync && p.memory.known && !p.memory.inbound
}

// oneWay reports whether the peer replicates to us synchronously, and we do not
// replicate back.
func (p *peer) oneWay() bool { return p.memory.sync && !p.outbound() }

func (l *Links) anyOneWayLocked() bool {
	for _, p := range l.peers {
		if p.oneWay() {
			return !mut.On(mut.R5OneWayInSync)
		}
	}
	return false
}

// unequalHalves says how the two directions of a link differ in what they promise,
// empty if they don't, or if the one that there is is asynchronous.
func unequalHalves(ours, theirs *Hello) string {
	switch {
	case ours.Sync && !theirs.Outbound:
		return "the peer does not replicate back: what is published there never gets here; name this instance in its replication.destinations"
	case theirs.Sync && !ours.Outbound:
		return "this instance does not replicate back to the peer, whose acks wait for it: what is published here never gets there, " +
			"and publishers pass this instance over; name the peer in replication.destinations"
	case ours.Outbound && theirs.Outbound && ours.Sync != theirs.Sync:
		return "link is sync one way and async the other"
	}
	return ""
}
