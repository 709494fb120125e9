package bookmarkstore

import (
	"encoding/binary"

	"go.etcd.io/bbolt"
)

// A serverGroup is the last group of servers that a store has met, and the highest incarnation of it that
// the store has seen (R10). If a store has the methods
//
//	Met() (cluster string, incarnation uint64)
//	Meet(cluster string, incarnation uint64) error
//
// then the client never goes back to servers that their group has left behind, not even after a
// restart. The two stores of this package have them. Meet is durable when it returns.
type serverGroup struct {
	cluster     string
	incarnation uint64
}

// Group returns the id and the highest incarnation of the last group of servers that the store has
// met.
func (b *storeBase) Group() (cluster string, incarnation uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.group.cluster, b.group.incarnation
}

// setGroup notes the group, unless the store is closed or failed.
func (b *storeBase) setGroup(m serverGroup) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.checkOpenLocked()
	if err == nil {
		b.group = m
	}
	return err
}

// SetGroup notes the group of servers that the client has met, and its incarnation.
func (m *Memory) SetGroup(cluster string, incarnation uint64) error {
	return m.setGroup(serverGroup{cluster, incarnation})
}

// keyGroup is the key of the group met last. Its value is the incarnation (8 bytes) and the cluster
// between version and checksum.
var keyGroup = []byte("met")

// SetGroup stores the group of servers that the client has met, and its incarnation. In a shared
// database it waits for an open write transaction of the application.
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
// serverGroup no group yet.
func (b *Bolt) loadGroup(bucket *bbolt.Bucket) {
	body, err := unseal("", keyGroup, bucket.Get(keyGroup))
	if err == nil && len(body) >= 8 {
		b.group = serverGroup{string(body[8:]), binary.BigEndian.Uint64(body)}
	}
}
