package journal

import (
	"cmp"
	"encoding/binary"
	"fmt"
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
	if err := j.appendChange(change{peer: &p}); err != nil {
		return fmt.Errorf("journal: remember peer %s: %w", p.Name, err)
	}
	return nil
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

// Flags of a remembered peer.
const (
	peerSends = 1 << iota
	peerSync
	peerFlags = peerSends | peerSync
)

// peerLeast is the length of the shortest peer.
const peerLeast = 1 + 1

// appendPeer appends length and name, and the flags.
func appendPeer(b []byte, p Peer) []byte {
	b = binary.AppendUvarint(b, uint64(len(p.Name)))
	b = append(b, p.Name...)
	flags := byte(0)
	if p.Sends {
		flags |= peerSends
	}
	if p.Sync {
		flags |= peerSync
	}
	return append(b, flags)
}

func (f *fields) peer() Peer {
	p := Peer{Name: string(f.Take(f.Uvarint()))}
	flags := f.Byte()
	p.Sends, p.Sync = flags&peerSends != 0, flags&peerSync != 0
	f.Bad = f.Bad || flags&^peerFlags != 0
	return p
}
