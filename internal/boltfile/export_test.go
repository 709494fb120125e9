package boltfile

import "go.etcd.io/bbolt"

// OpenPrivateBy is OpenPrivate with the steps of a compaction from the caller.
func OpenPrivateBy(path string, o Options, sync func(*bbolt.DB) error, rename func(from, to string) error, syncDir func(string) error) (*bbolt.DB, error) {
	return openPrivate(path, o, compactSteps{sync, rename, syncDir})
}
