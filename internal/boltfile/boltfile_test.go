package boltfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/boltfile"
	"github.com/holdfast-mq/holdfast/internal/fileversion"
)

var options = &bbolt.Options{Timeout: time.Millisecond}

func open(t *testing.T, path string) *bbolt.DB {
	t.Helper()
	db, err := boltfile.Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// The next opening removes an unfinished file that a power cut has left.
func TestUnfinished(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	if err := os.WriteFile(path+".holdfast-unfinished", make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	db := open(t, path)
	err := db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("bucket"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := boltfile.Open(path, options); err == nil {
		t.Error("opened twice")
	}
	db.Close()
	err = open(t, path).View(func(tx *bbolt.Tx) error {
		if tx.Bucket([]byte("bucket")) == nil {
			t.Error("the committed data is missing")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("the directory has %v, %v", names, err)
	}
}

// Open refuses a file that is not a database and does not change it.
func TestOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte("notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := boltfile.Open(path, options); err == nil {
		t.Error("opened")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "notes" {
		t.Errorf("the file contains %q, %v", b, err)
	}
}

// Open refuses a database of a later version of bbolt, not as damaged, and does not change it.
func TestNewerVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db := open(t, path)
	size := db.Info().PageSize
	db.Close()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for id := range 2 {
		meta := b[id*size+16:][:64]
		binary.NativeEndian.PutUint32(meta[4:], 3)
		sum := fnv.New64a()
		sum.Write(meta[:56])
		binary.NativeEndian.PutUint64(meta[56:], sum.Sum64())
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = boltfile.Open(path, options)
	newer, isDamage := errors.AsType[*fileversion.VersionError](err)
	if !isDamage || newer.Found != 3 || newer.Known != 2 {
		t.Errorf("Open: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, b) {
		t.Errorf("the file has changed: %v", err)
	}
}
