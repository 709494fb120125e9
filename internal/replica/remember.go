package replica

import (
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// A memory is what a peer said last of its half of the link, on a connection
// with this process or an earlier one.
type memory struct {
	known   bool
	inbound bool // it replicates to us
	sync    bool // and its acks wait for our disk
}

// remembered returns what the journal remembers, by name.
func remembered(j *journal.Journal) map[string]memory {
	all := make(map[string]memory)
	if mut.On(mut.R6ForgetsPeers) {
		return all
	}
	for _, p := range j.Peers() {
		all[p.Name] = memory{known: true, inbound: p.Sends, sync: p.Sync}
	}
	return all
}

// learn takes in what a peer has just said and reports whether that is news.
func (m *memory) learn(theirs *Hello) (changed bool) {
	now := memory{known: true, inbound: theirs.Outbound, sync: theirs.Outbound && theirs.Sync}
	changed = *m != now
	*m = now
	return changed
}

// awaited reports whether a peer is waited for at the start (R6): one that
// replicates to us. One that we have never met is taken for such if it is a
// synchronous destination, since pairs run both ways, or no destination at all,
// since it would have no reason to link with us.
func (p *peer) awaited() bool {
	if p.memory.known && !mut.On(mut.R6AwaitsAll) {
		return p.memory.inbound
	}
	return p.dest.Sync || !p.outbound() || mut.On(mut.R6AwaitsAll)
}

// remember has the journal remember what a peer has said of itself. What it sends
// from now on is not durable here before that is.
func (l *Links) remember(name string, m memory) {
	p := journal.Peer{Name: name, Sends: m.inbound, Sync: m.sync}
	if err := l.o.Journal.RememberPeer(p); err != nil {
		l.o.Log.Error("remembering whether a peer replicates here", "peer", name, "error", err)
	}
}
