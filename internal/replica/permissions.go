package replica

import (
	"cmp"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// permissionsGrace is the time for which permissions may differ without an alarm, because an
// operator changes them on one instance after the other. For as long a peer that is away counts as
// one with other permissions.
const permissionsGrace = time.Minute

// Permissions identify the permissions of clients on an instance. Each hello and each heartbeat
// states them.
type Permissions struct {
	Version uint64   // for people; only the hash is compared
	Hash    [32]byte // zero: no permissions are configured
}

func (p *Permissions) fields(c codec) {
	c.uint(&p.Version)
	c.fixed(p.Hash[:], true)
}

// differ reports whether two instances have different permissions. An instance without users differs
// from one with users: it takes everything.
func (p Permissions) differ(o Permissions) bool { return p.Hash != o.Hash }

// statedPermissions are the permissions that a peer has stated last. They are guarded by Links.mu.
type statedPermissions struct {
	Permissions
	differ bool          // from ours at that time
	since  time.Duration // since when they differ
}

// state notes the permissions that a peer has just stated.
func (s *statedPermissions) state(theirs, ours Permissions, now time.Duration) {
	differ := theirs.differ(ours)
	if differ && !s.differ {
		s.since = now
	}
	s.Permissions, s.differ = theirs, differ
}

// ownPermissions returns the permissions of this instance.
func (l *Links) ownPermissions() (p Permissions) {
	if l.o.Permissions != nil {
		p.Version, p.Hash = l.o.Permissions()
	}
	return p
}

// notePermissions notes the permissions in a peer's heartbeat.
func (l *Links) notePermissions(p *peer, theirs Permissions) {
	ours, now := l.ownPermissions(), l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	p.permissions.state(theirs, ours, now)
}

// MayReject reports whether a message that its user may not publish may be rejected for good: the
// peers have the same permissions as this instance, as far as they have stated theirs, and none has
// stated that it has the message. Asynchronous destinations do not count, unless this instance is
// their sync destination. Otherwise the message must leave no tombstone: the peer may have accepted
// it, and the publisher would diverge.
//
// A peer that is away cannot be asked, and it may have accepted the message by permissions that it
// had earlier or has now. So it counts as one with other permissions until it has been away for a
// minute, or this instance has run for a minute without it. A client that moves here from a peer that
// restarts then gets no tombstone for a message that the peer has accepted. After that the peer does
// not count. Otherwise a denied publisher would wait for as long as the peer is away.
//
// A peer that has just come back states what it has, and sends that later. It may have accepted the
// message by earlier permissions.
func (l *Links) MayReject(publisher, sequence uint64) bool {
	ours, now := l.ownPermissions(), l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.peers {
		if counts := p.dest.Sync || p.role.sync || !p.outbound(); !counts {
			continue
		}
		if !p.agreesLocked(ours, now) || p.sendsLocked(publisher, sequence) {
			return false
		}
	}
	return true
}

// agreesLocked reports whether a peer has the given permissions of this instance, or does
// not count.
func (p *peer) agreesLocked(ours Permissions, now time.Duration) bool {
	if p.conn != nil {
		return !p.permissions.Permissions.differ(ours)
	}
	return now-p.awaySince >= permissionsGrace || failpoint.On(failpoint.R14AbsentAgrees)
}

// sendsLocked reports whether a connected peer that replicates here has stated that it has a number.
func (p *peer) sendsLocked(publisher, sequence uint64) bool {
	if p.conn == nil || !p.conn.theirs.Outbound || failpoint.On(failpoint.R14StatedIgnored) {
		return false
	}
	states := p.conn.theirs.States
	i, known := slices.BinarySearchFunc(states, publisher, func(s journal.PublisherState, publisher uint64) int {
		return cmp.Compare(s.Publisher, publisher)
	})
	return known && states[i].Have >= sequence
}

// PermissionsDiffer returns the connected peers, synchronous or not, whose permissions have differed
// from those of this instance for a minute or longer, ordered by name.
func (l *Links) PermissionsDiffer() (peers []string) {
	ours, now := l.ownPermissions(), l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.peers {
		s := &p.permissions
		if p.conn != nil && s.differ && s.Permissions.differ(ours) && now-s.since >= permissionsGrace && !failpoint.On(failpoint.R14DifferenceUntold) {
			peers = append(peers, p.name)
		}
	}
	slices.Sort(peers)
	return peers
}
