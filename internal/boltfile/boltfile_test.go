package boltfile_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/boltfile"
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

// What is left of a file that was being made when the power went is no
// obstacle, and nothing but the database is left in the end.
func TestUnfinished(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	if err := os.WriteFile(path+".tmp", make([]byte, 5000), 0o600); err != nil {
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
			t.Error("what was committed is not there")
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

// A file that is no database is left alone.
func TestOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte("notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := boltfile.Open(path, options); err == nil {
		t.Error("opened")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "notes" {
		t.Errorf("it holds %q, %v", b, err)
	}
}
