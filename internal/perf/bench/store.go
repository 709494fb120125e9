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

// A keeper is a store as pubstore has them: one client at a time.
type keeper interface {
	pubstore.Store
	Acquire() (release func(), err error)
}

// open opens a publisher's store, which holds so many messages.
func (o *Options) open(dir, name string, messages int, bytes int64) (keeper, error) {
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

// A watched store tells which acks it sees, before it acts on them.
type watched struct {
	keeper
	acked func(through uint64, safe bool)
}

// Discard implements pubstore.Store.
func (w *watched) Discard(life string, through uint64) error {
	w.acked(through, true)
	return w.keeper.Discard(life, through)
}

// Single implements pubstore.Store.
func (w *watched) Single(life string, through uint64) {
	w.acked(through, false)
	w.keeper.Single(life, through)
}
