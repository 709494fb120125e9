package bench

import (
	"path/filepath"
	"time"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// storeSyncInterval is the default of a file store, said here to be told.
const storeSyncInterval = 10 * time.Millisecond

// storeSync says when a publisher's store is synced.
func (o *Options) storeSync() string {
	switch {
	case o.Store == "memory":
		return "never"
	case o.Store == "bolt" || o.SyncAlways:
		return "before sending"
	}
	return "every " + storeSyncInterval.String()
}

// A exclusiveStore is a store as pubstore has them: one client at a time.
type exclusiveStore interface {
	pubstore.Store
	Acquire() (release func(), err error)
}

// openStore opens a publisher's store, which holds so many messages.
func (o *Options) openStore(dir, name string, messages int, bytes int64) (exclusiveStore, error) {
	switch o.Store {
	case "memory":
		return pubstore.NewMemory(pubstore.MemoryOptions{MaxMessages: messages, MaxBytes: bytes}), nil
	case "bolt":
		return pubstore.OpenBolt(filepath.Join(dir, name+".db"), pubstore.BoltOptions{MaxMessages: messages, MaxBytes: bytes})
	}
	return pubstore.OpenFile(filepath.Join(dir, name), pubstore.FileOptions{
		MaxMessages: messages, MaxBytes: bytes, SyncAlways: o.SyncAlways, SyncInterval: storeSyncInterval,
	})
}

// A observedStore store tells which acks it sees, before it acts on them.
type observedStore struct {
	exclusiveStore
	onAck func(through uint64, safe bool)
}

// Discard implements pubstore.Store.
func (w *observedStore) Discard(life string, through uint64) error {
	w.onAck(through, true)
	return w.exclusiveStore.Discard(life, through)
}

// SetSingle implements pubstore.Store.
func (w *observedStore) SetSingle(life string, through uint64) {
	w.onAck(through, false)
	w.exclusiveStore.SetSingle(life, through)
}
