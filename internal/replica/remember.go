package replica

import (
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// A memory is a peer's last description of its half of the link, on a connection with this process
// or an earlier one.
type memory struct {
	known   bool
	inbound bool // it replicates to us
	sync    bool // and it waits for our disk
}

// remembered returns the memories in the journal, by peer name.
func remembered(j *journal.Journal) map[string]memory {
	all := make(map[string]memory)
	if failpoint.On(failpoint.R6ForgetsPeers) {
		return all
	}
	for _, p := range j.Peers() {
		all[p.Name] = memory{known: true, inbound: p.Sends, sync: p.Sync}
	}
	return all
}

// learn updates the memory from a hello and reports whether it has changed.
func (m *memory) learn(theirs *Hello) (changed bool) {
	now := memory{known: true, inbound: theirs.Outbound, sync: theirs.Outbound && theirs.Sync}
	changed = *m != now
	*m = now
	return changed
}

// awaited reports whether the start waits for a peer (R6). It waits for the peers that replicate
// to us. A peer that this instance has never met counts as one if it is a sync destination, since
// pairs run both ways, or if it is no destination, since then it would have no other reason to
// link.
func (p *peer) awaited() bool {
	if p.memory.known && !failpoint.On(failpoint.R6AwaitsAll) {
		return p.memory.inbound
	}
	return p.dest.Sync || !p.outbound() || failpoint.On(failpoint.R6AwaitsAll)
}

// remember stores a peer's memory in the journal. No record that the peer sends from now on is
// durable here before the memory is.
func (l *Links) remember(name string, m memory) {
	p := journal.Peer{Name: name, Sends: m.inbound, Sync: m.sync}
	if err := l.o.Journal.RememberPeer(p); err != nil {
		l.o.Log.Error("remembering whether a peer replicates here", "peer", name, "error", err)
	}
}
