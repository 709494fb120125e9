package boltfile

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

const (
	// compactAbove is the default of Options: bbolt grows larger files by as much at a time.
	compactAbove = 16 << 20
	// compactFactor is how many times its live data a file may be large.
	compactFactor = 4
	// copyBatch is how many bytes are copied in one transaction.
	copyBatch = 4 << 20
)

// Options say how OpenOwn opens a database.
type Options struct {
	Timeout      time.Duration // for the lock; 0: no limit
	Buckets      []string      // a database with any other bucket is not compacted
	CompactAbove int64         // smaller files, in bytes, are not compacted; default 16 MiB
}

// OpenOwn is Open for a database that no application shares. The cost of a
// commit and the size of the file follow the data in it, not the most data that
// was ever in it: commits don't write the list of free pages, which bbolt finds
// again by walking the pages in use when it opens the file, and a file that is
// larger than four times its live data is replaced by a compact copy.
//
// A compaction that fails, for lack of room or of the right to give the copy
// its owner, leaves the file as it was, and so does a crash at any step. It
// always fails on Windows, which doesn't replace files that are open.
func OpenOwn(path string, o Options) (*bbolt.DB, error) {
	return openOwn(path, o, steps{(*bbolt.DB).Sync, os.Rename, SyncDir})
}

func openOwn(path string, o Options, s steps) (*bbolt.DB, error) {
	bo := bbolt.Options{Timeout: o.Timeout, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true}
	db, usage, err := openExamined(path, bo)
	if err != nil {
		return nil, err
	}
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	_ = os.Remove(copyName(file)) // left by a crash; it only takes room
	if !o.shouldCompact(db, usage) {
		return db, nil
	}
	if err := errors.Join(s.compact(file, db), db.Close()); err != nil {
		return nil, err
	}
	return open(path, bo)
}

// copyName is the name that a file has while it is being made. It says whose it
// is: a crash may leave anything under it, and it is removed unread.
func copyName(path string) string { return path + ".holdfast-unfinished" }

// shouldCompact reports whether a database is to be compacted. One whose last commit may
// be missing is not: a copy would not show that any more (see Whole).
func (o *Options) shouldCompact(db *bbolt.DB, u Usage) bool {
	if !u.sparse(cmp.Or(o.CompactAbove, compactAbove)) || !o.ownsAll(db) {
		return false
	}
	whole, err := metasWhole(db)
	return err == nil && whole || mut.On(mut.R10CompactsDoubt)
}

// ownsAll reports whether no application has buckets in the database: it would
// wait for the lock of a file that may be replaced meanwhile.
func (o *Options) ownsAll(db *bbolt.DB) bool {
	only := true
	err := db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
			only = only && slices.Contains(o.Buckets, string(name))
			return nil
		})
	})
	return err == nil && only
}

// The steps of a compaction behind the copying, in this order: the copy has the
// name only when it is durable, and nothing is committed to it before its name is.
type steps struct {
	sync    func(*bbolt.DB) error
	rename  func(from, to string) error
	syncDir func(dir string) error
}

// compact replaces the file of a database, which must be open and locked, by a
// compact copy. An error means that either may be there after a power cut.
func (s *steps) compact(file string, db *bbolt.DB) error {
	fresh := copyName(file)
	err := s.copyTo(fresh, db)
	if err == nil {
		err = s.rename(fresh, file)
	}
	if err != nil {
		_ = os.Remove(fresh) // the file is as it was
		return nil
	}
	return s.syncDir(filepath.Dir(file))
}

// copyTo makes a compact copy of a database that is durable, with the same owner and rights.
func (s *steps) copyTo(path string, db *bbolt.DB) error {
	info, err := os.Stat(db.Path())
	if err != nil {
		return err
	}
	to, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: 1, PageSize: db.Info().PageSize, NoSync: true, OpenFile: openNew, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if err != nil {
		return err
	}
	err = cmp.Or(
		Guard(db.Path(), func() error { return bbolt.Compact(to, db, copyBatch) }),
		giveOwner(path, info),
		os.Chmod(path, info.Mode().Perm()),
	)
	if err == nil && !mut.On(mut.DCompactUnsynced) {
		err = s.sync(to)
	}
	return errors.Join(err, to.Close())
}
