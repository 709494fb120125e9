package bookmarkstore

import (
	"encoding/binary"

	"go.etcd.io/bbolt"
)

// A met is the group of servers that a store has met last, and the highest
// incarnation of it that it has seen (R10). A store that has
//
//	Met() (cluster string, incarnation uint64)
//	Meet(cluster string, incarnation uint64) error
//
// as the two here have, is kept from going back to servers that their group has left
// behind, also over a restart. Meet is durable when it returns.
type met struct {
	cluster     string
	incarnation uint64
}

// Met returns the group of servers that the store has met last.
func (r *registry) Met() (cluster string, incarnation uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.met.cluster, r.met.incarnation
}

// meet notes the group, unless the store takes no more calls.
func (r *registry) meet(m met) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.usableLocked()
	if err == nil {
		r.met = m
	}
	return err
}

// Meet keeps the group of servers that the store has met.
func (m *Memory) Meet(cluster string, incarnation uint64) error {
	return m.meet(met{cluster, incarnation})
}

// keyMet is of the group, in a store that has met one: incarnation (8 bytes) and
// cluster, between version and checksum.
var keyMet = []byte("met")

// Meet keeps the group of servers that the store has met. In a shared database it
// waits for a write transaction that the application has open.
func (b *Bolt) Meet(cluster string, incarnation uint64) error {
	if err := b.usable(); err != nil {
		return err
	}
	value := binary.BigEndian.AppendUint64([]byte{formatVersion}, incarnation)
	value = seal("", keyMet, append(value, cluster...))
	err := b.update(func(tx *bbolt.Tx) error { return tx.Bucket(b.bucket).Put(keyMet, value) })
	if err != nil {
		b.becomeFailed(err)
	}
	return b.meet(met{cluster, incarnation})
}

// loadMet reads the group that the store has met. One that can't be read is none, as
// in a store that has met no group yet.
func (b *Bolt) loadMet(bucket *bbolt.Bucket) {
	body, err := unseal("", keyMet, bucket.Get(keyMet))
	if err == nil && len(body) >= 8 {
		b.met = met{string(body[8:]), binary.BigEndian.Uint64(body)}
	}
}
