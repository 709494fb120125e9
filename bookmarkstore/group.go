package bookmarkstore

import (
	"encoding/binary"

	"go.etcd.io/bbolt"
)

// A serverGroup is the last group of servers that a store has met, and the highest incarnation of it that
// the store has seen (R10).
type serverGroup struct {
	cluster     string
	incarnation uint64
}

// Group implements [Store].
func (r *storeBase) Group() (cluster string, incarnation uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.group.cluster, r.group.incarnation
}

// setGroup notes the group, unless the store is closed or failed.
func (r *storeBase) setGroup(m serverGroup) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.checkOpenLocked()
	if err == nil {
		r.group = m
	}
	return err
}

// SetGroup implements [Store].
func (m *Memory) SetGroup(cluster string, incarnation uint64) error {
	return m.setGroup(serverGroup{cluster, incarnation})
}

// keyGroup is the key of the group met last. Its value is the incarnation (8 bytes) and the cluster
// between version and checksum.
var keyGroup = []byte("met")

// SetGroup implements [Store]. In a shared database it waits for an open write transaction of the application.
func (b *Bolt) SetGroup(cluster string, incarnation uint64) error {
	if err := b.checkOpen(); err != nil {
		return err
	}
	value := binary.BigEndian.AppendUint64([]byte{formatVersion}, incarnation)
	value = seal("", keyGroup, append(value, cluster...))
	err := b.update(func(tx *bbolt.Tx) error { return tx.Bucket(b.bucket).Put(keyGroup, value) })
	if err != nil {
		b.setFailed(err)
	}
	return b.setGroup(serverGroup{cluster, incarnation})
}

// loadGroup reads the group met last. An unreadable value counts as none, as in a store that has
// met no group yet.
func (b *Bolt) loadGroup(bucket *bbolt.Bucket) {
	body, err := unseal("", keyGroup, bucket.Get(keyGroup))
	if err == nil && len(body) >= 8 {
		b.group = serverGroup{string(body[8:]), binary.BigEndian.Uint64(body)}
	}
}
