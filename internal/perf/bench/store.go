package bench

import (
	"path/filepath"
	"time"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// storeSyncInterval is the default of a file store, stated here for the result.
const storeSyncInterval = 10 * time.Millisecond

// storeSync describes when a publisher's store is synced.
func (o *Options) storeSync() string {
	switch {
	case o.Store == "memory":
		return "never"
	case o.Store == "bolt" || o.SyncAlways:
		return "before sending"
	}
	return "every " + storeSyncInterval.String()
}

// An exclusiveStore is a store with Acquire, as those of pubstore: one client at a
// time can hold it.
type exclusiveStore interface {
	pubstore.Store
	Acquire() (release func(), err error)
}

// openStore opens a publisher's store with limits for messages and bytes.
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

// An observedStore reports each ack before it acts on it.
type observedStore struct {
	exclusiveStore
	onAck func(through uint64, safe bool)
}

// Discard implements pubstore.Store.
func (s *observedStore) Discard(life string, through uint64) error {
	s.onAck(through, true)
	return s.exclusiveStore.Discard(life, through)
}

// SetSingle implements pubstore.Store.
func (s *observedStore) SetSingle(life string, through uint64) {
	s.onAck(through, false)
	s.exclusiveStore.SetSingle(life, through)
}
