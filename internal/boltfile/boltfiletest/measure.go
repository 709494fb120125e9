package boltfiletest

import (
	"os"
	"testing"

	"go.etcd.io/bbolt"
)

// FileSize returns the length of a file in bytes.
func FileSize(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// BytesWritten returns the number of bytes of the pages that a database writes during a call of f.
func BytesWritten(db *bbolt.DB, f func()) int64 {
	before := db.Stats()
	f()
	after := db.Stats()
	written := after.TxStats.Sub(&before.TxStats)
	return written.GetPageAlloc()
}
