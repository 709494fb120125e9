package bookmarkstore

import (
	"encoding/binary"

	"go.etcd.io/bbolt"
)

// A serverGroup is the group of servers that the client logged on to last, and the highest
// incarnation of it that the client has seen (R10).
type serverGroup struct {
	cluster     string
	incarnation uint64
}

// Group implements Store.
func (b *storeBase) Group() (cluster string, incarnation uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.group.cluster, b.group.incarnation
}

// setGroup sets the group, unless the store is closed or failed.
func (b *storeBase) setGroup(g serverGroup) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.checkOpenLocked()
	if err == nil {
		b.group = g
	}
	return err
}

// SetGroup implements Store.
func (m *Memory) SetGroup(cluster string, incarnation uint64) error {
	return m.setGroup(serverGroup{cluster, incarnation})
}

// keyGroup is the key of the group. Between version and checksum, its value has the incarnation
// (8 bytes) and the cluster id.
var keyGroup = []byte("met")

// SetGroup implements Store. In a shared database it waits for an open write transaction of the
// application.
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

// loadGroup reads the group. An unreadable value counts as none, as in a store without a group.
func (b *Bolt) loadGroup(bucket *bbolt.Bucket) {
	body, err := unseal("", keyGroup, bucket.Get(keyGroup))
	if err == nil && len(body) >= 8 {
		b.group = serverGroup{string(body[8:]), binary.BigEndian.Uint64(body)}
	}
}
