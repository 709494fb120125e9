package bookmarkstore

import "go.etcd.io/bbolt"

// Snapshot writes what the database has committed by now to path: what the
// next process finds when this one is killed.
func (b *Bolt) Snapshot(path string) error {
	return b.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(path, 0o600) })
}
