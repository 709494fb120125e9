package bookmarkstore

import "go.etcd.io/bbolt"

// Snapshot copies the committed database to path, as the next process finds it if this one is
// killed now.
func (b *Bolt) Snapshot(path string) error {
	return b.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(path, 0o600) })
}
