package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/boltfile/boltfiletest"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// sparseStore makes a publish store in a large, nearly empty file that has other buckets
// as well.
func sparseStore(t *testing.T, others ...string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "out.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := pubstore.OpenBoltIn(db, publishBucket, pubstore.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(publishBucket))
		for _, name := range others {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		for i := range 300 {
			err = errors.Join(err, b.Put(fmt.Appendf(nil, "filling %d", i), make([]byte, 64<<10)))
		}
		return err
	})
	if err == nil {
		err = db.Update(func(tx *bbolt.Tx) error {
			for i := range 300 {
				err = errors.Join(err, tx.Bucket([]byte(publishBucket)).Delete(fmt.Appendf(nil, "filling %d", i)))
			}
			return err
		})
	}
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// openedSize returns the size of a store's file after this command has opened it.
func openedSize(t *testing.T, path string) int64 {
	t.Helper()
	db, err := openStoreFile(path, "publish store", publishBucket, inputBucket)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return boltfiletest.FileSize(t, path)
}

func inspectText(path string) string {
	var out bytes.Buffer
	run([]string{"store", "inspect", path}, &out, &out)
	return out.String()
}

// store inspect reports a file that a backlog left large. --store compacts it, unless it
// is the file of an application.
func TestSparseStoreFile(t *testing.T) {
	const hint = "a backlog left it this large"
	path := sparseStore(t, inputBucket)
	if text := inspectText(path); !strings.Contains(text, hint) {
		t.Errorf("store inspect says %s", text)
	}
	if size := openedSize(t, path); size > 1<<20 {
		t.Errorf("%d bytes when opened", size)
	}
	if text := inspectText(path); strings.Contains(text, hint) || !strings.Contains(text, "bolt publish store") {
		t.Errorf("store inspect says %s", text)
	}
	shared := sparseStore(t, inputBucket, "the application's own")
	if size := openedSize(t, shared); size < 16<<20 {
		t.Errorf("the file of an application is replaced: it has %d bytes", size)
	}
}

// A malformed hash of any length is an error.
func TestMalformedHash(t *testing.T) {
	db, err := openStoreFile(filepath.Join(t.TempDir(), "out.db"), "publish store", publishBucket, inputBucket)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, hash := range []string{"", "00", strings.Repeat("00", 31), strings.Repeat("00", 33), strings.Repeat("0g", 32)} {
		err := updateBolt(db, func(tx *bbolt.Tx) error {
			return inputEntry.put(tx, fmt.Appendf(nil, `{"version":2,"lines":1,"bytes":2,"sha256":"%s"}`, hash))
		})
		if err != nil {
			t.Fatal(err)
		}
		if k, err := readExtent(db); err == nil || !strings.Contains(err.Error(), "is malformed") {
			t.Errorf("%q: %+v, %v", hash, k, err)
		}
	}
}
