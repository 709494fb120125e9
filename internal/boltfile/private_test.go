package boltfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/boltfile"
	"github.com/holdfast-mq/holdfast/internal/boltfile/boltfiletest"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// compactAlways compacts small files, too.
var compactAlways = boltfile.Options{Timeout: 1, Buckets: []string{"queue"}, CompactAbove: 1}

func openPrivate(t *testing.T, path string, o boltfile.Options) *bbolt.DB {
	t.Helper()
	db, err := boltfile.OpenPrivate(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// drainedDatabase creates a database that had more data before. It returns the data and the size of
// the file.
func drainedDatabase(t *testing.T, path string) (map[string]string, int64) {
	t.Helper()
	db := open(t, path)
	defer db.Close()
	err := db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("queue"))
		for i := range 100 {
			err = errors.Join(err, b.Put(fmt.Appendf(nil, "key %03d", i), make([]byte, 2000)))
		}
		inner, innerErr := b.CreateBucket([]byte("life"))
		return errors.Join(err, innerErr, b.SetSequence(100), inner.SetSequence(7), inner.Put([]byte("empty"), nil))
	})
	if err == nil {
		err = db.Update(func(tx *bbolt.Tx) error {
			for i := range 98 {
				err = errors.Join(err, tx.Bucket([]byte("queue")).Delete(fmt.Appendf(nil, "key %03d", i)))
			}
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return contents(t, db), boltfiletest.FileSize(t, path)
}

func TestCompaction(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	want, before := drainedDatabase(t, path)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link.db") // stays a link
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	db := openPrivate(t, link, compactAlways)
	if got := contents(t, db); !maps.Equal(got, want) {
		t.Errorf("the copy holds %d values, want %d", len(got), len(want))
	}
	if after := boltfiletest.FileSize(t, path); after > before/4 {
		t.Errorf("%d bytes became %d", before, after)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
	if usage, err := boltfile.UsageOf(db); err != nil || usage.Size != boltfiletest.FileSize(t, path) || usage.Live < 4096 || usage.Live > usage.Size {
		t.Errorf("usage is %+v, %v", usage, err)
	}
	if _, err := boltfile.OpenPrivate(path, compactAlways); err == nil {
		t.Error("opened twice")
	}
}

// Small files, files full of live data, and files with a bucket of an application are not
// compacted.
func TestNotCompacted(t *testing.T) {
	for name, o := range map[string]boltfile.Options{
		"small":  {Timeout: 1, Buckets: compactAlways.Buckets},
		"shared": {Timeout: 1, Buckets: []string{"another"}, CompactAbove: 1},
	} {
		path := filepath.Join(t.TempDir(), "store.db")
		_, before := drainedDatabase(t, path)
		openPrivate(t, path, o)
		if after := boltfiletest.FileSize(t, path); after != before {
			t.Errorf("%s: %d bytes became %d", name, before, after)
		}
	}
	path := filepath.Join(t.TempDir(), "store.db")
	fill(t, path)
	before := boltfiletest.FileSize(t, path)
	openPrivate(t, path, boltfile.Options{Timeout: 1, Buckets: []string{"outer"}, CompactAbove: 1})
	if after := boltfiletest.FileSize(t, path); after != before {
		t.Errorf("full: %d bytes became %d", before, after)
	}
}

// A compaction that fails leaves the file unchanged and no other file.
func TestCompactionFails(t *testing.T) {
	fail := func() error { return syscall.ENOSPC }
	done := func() error { return nil }
	for name, s := range map[string]struct{ sync, rename func() error }{
		"sync":   {fail, func() error { t.Error("renamed although it is not durable"); return nil }},
		"rename": {done, fail},
	} {
		path := filepath.Join(t.TempDir(), "store.db")
		want, before := drainedDatabase(t, path)
		db, err := boltfile.OpenPrivateBy(path, compactAlways,
			func(*bbolt.DB) error { return s.sync() }, func(string, string) error { return s.rename() },
			func(string) error { t.Errorf("%s: the compaction continued", name); return nil })
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if after := boltfiletest.FileSize(t, path); after != before || !maps.Equal(contents(t, db), want) {
			t.Errorf("%s: %d bytes became %d", name, before, after)
		}
		db.Close()
		if names, err := os.ReadDir(filepath.Dir(path)); err != nil || len(names) != 1 {
			t.Errorf("%s: the directory has %v, %v", name, names, err)
		}
	}
}

// A disk follows the file operations of a compaction and checks the result of a crash.
type disk struct {
	*testing.T
	*memfs.FS
	path string
	want map[string]string
	seen int
}

// checkCrash opens the result of each kind of crash.
func (d *disk) checkCrash(step string) {
	for seed := range uint64(4) {
		for _, m := range memfs.Modes(seed) {
			d.seen++
			image, dir := d.Image(m), d.TempDir()
			for _, name := range image.Names() {
				b, err := image.ReadFile(name)
				if err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), b, 0o600)); err != nil {
					d.Fatal(err)
				}
			}
			db, err := boltfile.OpenPrivate(filepath.Join(dir, "store.db"), compactAlways)
			if err != nil {
				d.Errorf("%s, %s: %v", step, m.Name, err)
				continue
			}
			if !maps.Equal(contents(d.T, db), d.want) {
				d.Errorf("%s, %s: the data has changed", step, m.Name)
			}
			db.Close()
			if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
				d.Errorf("%s, %s: the directory has %v, %v", step, m.Name, names, err)
			}
		}
	}
}

// write puts the current copy on the disk, not yet durable.
func (d *disk) write(name string) {
	b, err := os.ReadFile(filepath.Join(filepath.Dir(d.path), name))
	if err != nil {
		d.Fatal(err)
	}
	f, err := d.OpenFile(name, os.O_CREATE)
	if err != nil {
		d.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, 0); err != nil {
		d.Fatal(err)
	}
}

func (d *disk) sync(db *bbolt.DB) error {
	name := filepath.Base(db.Path())
	d.write(name)
	d.checkCrash("copied")
	f, err := d.OpenFile(name, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	err = errors.Join(f.Sync(), db.Sync())
	d.checkCrash("synced")
	return err
}

func (d *disk) rename(from, to string) error {
	if _, err := d.ReadFile(filepath.Base(from)); err != nil {
		d.write(filepath.Base(from)) // it was not synced
	}
	err := errors.Join(d.Rename(filepath.Base(from), filepath.Base(to)), os.Rename(from, to))
	d.checkCrash("renamed")
	return err
}

func (d *disk) syncDir(string) error {
	err := d.SyncDir(".")
	d.checkCrash("name synced")
	return err
}

// A crash of the process or the machine between any two steps of a compaction leaves a complete
// database.
func TestCompactionCutAtEveryStep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	want, before := drainedDatabase(t, path)
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := &disk{T: t, FS: memfs.New(), path: path, want: want}
	d.WriteFile("store.db", image)
	db, err := boltfile.OpenPrivateBy(path, compactAlways, d.sync, d.rename, d.syncDir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if after := boltfiletest.FileSize(t, path); after > before/4 || d.seen < 72 {
		t.Errorf("%d bytes became %d, %d images", before, after, d.seen)
	}
	if left, err := d.Image(memfs.Durable).ReadFile("store.db"); err != nil || int64(len(left)) > before/4 {
		t.Errorf("the copy is in use before its name is durable: %d bytes, %v", len(left), err)
	}
}

// If a file is replaced while open waits for its lock, open uses the new file.
func TestReplacedWhileOpening(t *testing.T) {
	dir := t.TempDir()
	path, fresh := filepath.Join(dir, "store.db"), filepath.Join(dir, "fresh.db")
	drainedDatabase(t, path)
	fill(t, fresh)
	opened := 0
	db, err := boltfile.Open(path, &bbolt.Options{Timeout: 1, OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, perm)
		if opened++; opened == 2 { // the first one only checks the pages
			err = errors.Join(err, os.Rename(fresh, path))
		}
		return f, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, found := contents(t, db)["outer"]; !found {
		t.Error("the file that lost its name is in use")
	}
}

// Keys out of order give an error. Otherwise bbolt would find them when it looks for free pages,
// panic, and leave a goroutine that reads the mapped file.
func TestKeysOutOfOrder(t *testing.T) {
	for name, n := range map[string]int{"in a leaf": 20, "below a branch": 2000} {
		path := filepath.Join(t.TempDir(), "store.db")
		db, err := boltfile.OpenPrivate(path, compactAlways)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket([]byte("store"))
			for i := range n {
				err = errors.Join(err, b.Put(fmt.Appendf(nil, "key %04d", i), make([]byte, 100)))
			}
			return err
		})
		if err = errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		original, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// Replace the key everywhere, since a page may be from before the last commit.
		b := bytes.ReplaceAll(original, []byte("key 0007"), []byte("key 9999"))
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var damage *boltfile.DamageError
		if _, err := boltfile.OpenPrivate(path, compactAlways); !errors.As(err, &damage) || !strings.Contains(err.Error(), "out of order") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
