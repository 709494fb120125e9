package boltfile

import (
	"os"

	"go.etcd.io/bbolt"
)

// Usage describes how much of a database file is in use.
type Usage struct {
	Size int64 // of the file, in bytes
	Live int64 // bytes in pages with data
	Free int64 // number of pages without data; bbolt reuses them, but the file does not shrink
}

// Sparse reports whether OpenPrivate would compact the file, because it is much larger than its
// live data.
func (u Usage) Sparse() bool { return u.sparse(compactAbove) }

func (u Usage) sparse(above int64) bool { return u.Size > above && u.Size > compactFactor*u.Live }

// UsageOf checks the pages of an open database. No process may write meanwhile. The error is a
// *DamageError if a page is invalid.
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
		return Usage{}, asDamageError(db.Path(), err)
	}
	free := (info.Size()-live)/int64(pageSize) - firstPage
	return Usage{Size: info.Size(), Live: live, Free: free}, nil
}
