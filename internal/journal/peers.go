package journal

import (
	"cmp"
	"slices"
)

// A Peer is what an instance remembers of one of its peers over its own restarts.
type Peer struct {
	Name  string
	Sends bool // it replicates to this instance
	Sync  bool // and its acks wait for this instance's disk
}

// Peers returns the peers that are remembered, by name.
func (j *Journal) Peers() []Peer {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.table.peers)
}

// RememberPeer remembers a peer, in the place of one of the same name. Records that
// are appended afterwards are not durable before it is.
func (j *Journal) RememberPeer(p Peer) error {
	return annotate(j.appendChange(change{kind: statePeer, peer: p}), "remember peer %s", p.Name)
}

// peersMost bounds the peers that are remembered: names that were configured once
// stay.
const peersMost = 1024

// applyPeer remembers a peer.
func (t *table) applyPeer(p Peer) {
	at, found := slices.BinarySearchFunc(t.peers, p.Name, func(p Peer, name string) int { return cmp.Compare(p.Name, name) })
	switch {
	case found:
		t.peers[at] = p
	case len(t.peers) < peersMost:
		t.peers = slices.Insert(t.peers, at, p)
	}
}

// peerLeast is the length of the shortest peer.
const peerLeast = 1 + 1

func (c *coder) peer(p *Peer) {
	c.text(&p.Name)
	c.flags(&p.Sends, &p.Sync)
}
