package bookmarkstore

import "go.etcd.io/bbolt"

// Snapshot copies the committed database to path. The next process finds it in that state if this
// process is killed now.
func (b *Bolt) Snapshot(path string) error {
	return b.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(path, 0o600) })
}
