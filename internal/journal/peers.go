package journal

import (
	"cmp"
	"slices"
)

// A Peer is the state of a peer that an instance remembers across its restarts.
type Peer struct {
	Name  string
	Sends bool // it replicates to this instance
	Sync  bool // its acks wait for the disk of this instance
}

// Peers returns the remembered peers, ordered by name.
func (j *Journal) Peers() []Peer {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.table.peers)
}

// RememberPeer adds a peer, or replaces the one of the same name. The peer becomes durable
// before any record appended afterwards.
func (j *Journal) RememberPeer(p Peer) error {
	return annotate(j.appendChange(change{kind: statePeer, peer: p}), "remember peer %s", p.Name)
}

// maxPeers bounds the remembered peers, because the name of a former peer stays.
const maxPeers = 1024

// applyPeer adds a peer, or replaces the one of the same name.
func (t *table) applyPeer(p Peer) {
	at, found := slices.BinarySearchFunc(t.peers, p.Name, func(p Peer, name string) int { return cmp.Compare(p.Name, name) })
	switch {
	case found:
		t.peers[at] = p
	case len(t.peers) < maxPeers:
		t.peers = slices.Insert(t.peers, at, p)
	}
}

// minPeerLen is the length of the shortest coded peer.
const minPeerLen = 1 + 1

func (c *coder) peer(p *Peer) {
	c.text(&p.Name)
	c.flags(&p.Sends, &p.Sync)
}
