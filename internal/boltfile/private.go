package boltfile

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

const (
	// compactAbove is the default of Options.CompactAbove: bbolt grows larger files by this size
	// at a time.
	compactAbove = 16 << 20
	// compactFactor is the size of a file, as a multiple of its live data, above which it is
	// compacted.
	compactFactor = 4
	// copyBatch is the number of bytes copied in one transaction.
	copyBatch = 4 << 20
)

// Options configure OpenPrivate.
type Options struct {
	Timeout      time.Duration // for the lock; 0: no limit
	Buckets      []string      // a database with any other bucket is not compacted
	CompactAbove int64         // a file up to this size in bytes is not compacted; default 16 MiB
}

// OpenPrivate is Open for a database that belongs to the store alone. It keeps the cost of a commit
// and the size of the file in proportion to the current data, not to the largest amount so far.
// Commits do not write the list of free pages; bbolt finds the free pages by a walk over the used
// ones when it opens the file. A file larger than four times its live data is replaced by a compact
// copy.
//
// A compaction may fail for lack of space, or because the copy cannot get the owner of the
// original. The file is unchanged then, and also after a crash at any step. Compaction always fails
// on Windows, which does not replace open files.
func OpenPrivate(path string, o Options) (*bbolt.DB, error) {
	return openPrivate(path, o, compactSteps{(*bbolt.DB).Sync, os.Rename, SyncDir})
}

func openPrivate(path string, o Options, s compactSteps) (*bbolt.DB, error) {
	bo := bbolt.Options{Timeout: o.Timeout, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true}
	db, usage, err := checkAndOpen(path, bo)
	if err != nil {
		return nil, err
	}
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	_ = os.Remove(tempName(file)) // left by a crash; it only takes space
	if !o.shouldCompact(db, usage) {
		return db, nil
	}
	if err := errors.Join(s.compact(file, db), db.Close()); err != nil {
		return nil, err
	}
	return open(path, bo)
}

// tempName returns the temporary name of a file that is being created. The name says that it
// belongs to holdfast: a crash may leave an incomplete file, and the next opening removes it
// unread.
func tempName(path string) string { return path + ".holdfast-unfinished" }

// shouldCompact reports whether to compact a database. It is false if the last commit may be
// missing, since a copy would hide that (see MetaPagesValid).
func (o *Options) shouldCompact(db *bbolt.DB, u Usage) bool {
	if !u.sparse(cmp.Or(o.CompactAbove, compactAbove)) || !o.ownsAllBuckets(db) {
		return false
	}
	valid, err := metaPagesValid(db)
	return err == nil && valid || failpoint.On(failpoint.R10CompactsDoubt)
}

// ownsAllBuckets reports whether all buckets of the database belong to the store. An application
// that uses the database, too, would wait for the lock of a file that a compaction may replace.
func (o *Options) ownsAllBuckets(db *bbolt.DB) bool {
	all := true
	err := db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
			all = all && slices.Contains(o.Buckets, string(name))
			return nil
		})
	})
	return err == nil && all
}

// compactSteps are the steps of a compaction after the copying, in this order. The copy is renamed
// only once it is durable, and nothing is committed to it before its new name is durable.
type compactSteps struct {
	sync    func(*bbolt.DB) error
	rename  func(from, to string) error
	syncDir func(dir string) error
}

// compact replaces the file of a database by a compact copy. The database must be open and
// locked. After an error, a power cut may leave either file.
func (s *compactSteps) compact(file string, db *bbolt.DB) error {
	copied := tempName(file)
	err := s.copyTo(copied, db)
	if err == nil {
		err = s.rename(copied, file)
	}
	if err != nil {
		_ = os.Remove(copied) // the file is unchanged
		return nil
	}
	return s.syncDir(filepath.Dir(file))
}

// copyTo makes a durable compact copy of a database, with the same owner and permissions.
func (s *compactSteps) copyTo(path string, db *bbolt.DB) error {
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
		copyOwner(path, info),
		os.Chmod(path, info.Mode().Perm()),
	)
	if err == nil && !failpoint.On(failpoint.DCompactUnsynced) {
		err = s.sync(to)
	}
	return errors.Join(err, to.Close())
}
