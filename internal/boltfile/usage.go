package boltfile

import (
	"os"

	"go.etcd.io/bbolt"
)

// Usage says how much of a database file holds data.
type Usage struct {
	Size int64 // of the file, in bytes
	Live int64 // bytes of the pages that hold data
	Free int64 // pages that hold none: they are used again, and the file does not shrink
}

// Sparse reports whether the file is so much larger than its live data that
// OpenOwn compacts it.
func (u Usage) Sparse() bool { return u.sparse(compactAbove) }

func (u Usage) sparse(above int64) bool { return u.Size > above && u.Size > compactFactor*u.Live }

// UsageOf looks at the pages of an open database while nobody writes. A page
// that is not as it should be is a *DamageError.
func UsageOf(db *bbolt.DB) (Usage, error) {
	f, err := os.Open(db.Path())
	if err != nil {
		return Usage{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Usage{}, err
	}
	pageSize := db.Info().PageSize
	live, err := checkPages(f, info.Size(), pageSize)
	if err != nil {
		return Usage{}, damage(db.Path(), err)
	}
	free := (info.Size()-live)/int64(pageSize) - firstPage
	return Usage{Size: info.Size(), Live: live, Free: free}, nil
}
