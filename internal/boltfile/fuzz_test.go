package boltfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/holdfast-mq/holdfast/internal/boltfile"
	"github.com/holdfast-mq/holdfast/internal/boltfile/boltfiletest"
	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
)

// fill makes a database with branches, long values, nested buckets and inline buckets.
func fill(t testing.TB, path string) {
	db, err := boltfile.Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 { // so that pages become free
		err = db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("outer"))
			if err != nil {
				return err
			}
			small, err := b.CreateBucketIfNotExists([]byte("small"))
			if err != nil {
				return err
			}
			inner, err := b.CreateBucketIfNotExists([]byte("inner"))
			for i := range 40 {
				err = errors.Join(err, inner.Put(fmt.Appendf(nil, "key %03d", i), bytes.Repeat([]byte{byte(round)}, 50)))
			}
			return errors.Join(err, small.Put([]byte("k"), []byte("v")), inner.Put([]byte("long"), make([]byte, 3000)))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// FuzzOpen opens a damaged database. Either an error says that it is damaged, or the file can be
// read and written under Guard. The memory in use is bounded by the size of the file.
func FuzzOpen(f *testing.F) {
	image := boltfiletest.Image(f, func(path string) { fill(f, path) })
	for _, recipe := range boltfiletest.Recipes(image) {
		f.Add(recipe, false)
		f.Add(recipe, true)
	}
	path := filepath.Join(f.TempDir(), "damaged.db")
	f.Fuzz(func(t *testing.T, recipe []byte, fixChecksums bool) {
		b := boltfiletest.Damage(image, recipe, fixChecksums)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		heap.Bounded(t, len(b), 64, 1<<20, func() { useDatabase(t, path, len(recipe) < 5) })
	})
}

func useDatabase(t *testing.T, path string, undamaged bool) {
	db, err := boltfile.Open(path, options)
	if err == nil {
		defer db.Close()
		err = boltfile.Guard(path, func() error { return db.View(readAll) })
	}
	if err == nil {
		err = boltfile.Guard(path, func() error { return db.Update(writeSome) })
	}
	damage, isDamage := errors.AsType[*boltfile.DamageError](err)
	if err != nil && (undamaged || isDamage && damage.Path != path) {
		t.Errorf("use the database: %v", err)
	}
}

func readAll(tx *bbolt.Tx) error {
	return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return readBucket(b) })
}

func readBucket(b *bbolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		if v != nil {
			return nil
		}
		return readBucket(b.Bucket(k))
	})
}

func writeSome(tx *bbolt.Tx) error {
	b, err := tx.CreateBucketIfNotExists([]byte("outer"))
	if err != nil {
		return err
	}
	for i := range 5 {
		err = errors.Join(err, b.Put(fmt.Appendf(nil, "new %d", i), make([]byte, 100)))
	}
	return errors.Join(err, b.Delete([]byte("new 0")))
}

func TestDamageIsReported(t *testing.T) {
	image := boltfiletest.Image(t, func(path string) { fill(t, path) })
	for name, recipe := range boltfiletest.Recipes(image) {
		path := filepath.Join(t.TempDir(), "damaged.db")
		if err := os.WriteFile(path, boltfiletest.Damage(image, recipe, true), 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := boltfile.Open(path, options)
		if err == nil {
			db.Close()
		}
		if _, damaged := errors.AsType[*boltfile.DamageError](err); damaged != (recipe != nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	fill(t, path)
	db, err := boltfile.Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := boltfile.Open(path, options); !errors.Is(err, berrors.ErrTimeout) {
		t.Errorf("opened twice: %v", err)
	}
}

func TestFileSystemErrors(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "none", "a.db")} {
		_, err := boltfile.Open(path, options)
		if _, damaged := errors.AsType[*boltfile.DamageError](err); err == nil || damaged {
			t.Errorf("%s: %v", path, err)
		}
	}
}
