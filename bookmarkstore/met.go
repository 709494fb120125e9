package bookmarkstore

import (
	"encoding/binary"

	"go.etcd.io/bbolt"
)

// A met is the last group of servers that a store has met, and the highest incarnation of it that
// the store has seen (R10). If a store has the methods
//
//	Met() (cluster string, incarnation uint64)
//	Meet(cluster string, incarnation uint64) error
//
// then the client never goes back to servers that their group has left behind, not even after a
// restart. The two stores of this package have them. Meet is durable when it returns.
type met struct {
	cluster     string
	incarnation uint64
}

// Met returns the id and the highest incarnation of the last group of servers that the store has
// met.
func (r *registry) Met() (cluster string, incarnation uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.met.cluster, r.met.incarnation
}

// meet notes the group, unless the store is closed or failed.
func (r *registry) meet(m met) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.usableLocked()
	if err == nil {
		r.met = m
	}
	return err
}

// Meet notes the group of servers that the client has met, and its incarnation.
func (m *Memory) Meet(cluster string, incarnation uint64) error {
	return m.meet(met{cluster, incarnation})
}

// keyMet is the key of the group met last. Its value is the incarnation (8 bytes) and the cluster
// between version and checksum.
var keyMet = []byte("met")

// Meet stores the group of servers that the client has met, and its incarnation. In a shared
// database it waits for an open write transaction of the application.
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

// loadMet reads the group met last. An unreadable value counts as none, as in a store that has
// met no group yet.
func (b *Bolt) loadMet(bucket *bbolt.Bucket) {
	body, err := unseal("", keyMet, bucket.Get(keyMet))
	if err == nil && len(body) >= 8 {
		b.met = met{string(body[8:]), binary.BigEndian.Uint64(body)}
	}
}
