package pubstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/testkit/newer"
	"github.com/holdfast-mq/holdfast/pubstore"
)

func checkNewer(t *testing.T, call string, err error) {
	t.Helper()
	if _, ok := errors.AsType[*pubstore.VersionError](err); !ok || !strings.Contains(err.Error(), "format version 2, but this program reads only versions up to 1") {
		t.Errorf("%s: %v", call, err)
	}
}

// OpenFile and InspectFile refuse a store of a later version and do not change it, even with damage
// and AcceptDamage.
func TestFileNewerVersion(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"log":   newer.Segment,
		"state": func(b []byte) []byte { return newer.Head(b, len("hfspubstore")+1) },
	} {
		t.Run(name, func(t *testing.T) {
			fs := memfs.New()
			o := testdoor.OnDisk(pubstore.FileOptions{BootID: boot("first"), SegmentBytes: 4096, AcceptDamage: true}, fs)
			s := openFile(t, o)
			publish(t, s, 100)
			closeStore(t, s)
			names := segmentNames(fs)
			fs.Flip(names[0], 4160+190)
			last := names[len(names)-1]
			b, err := fs.ReadFile(last)
			if err != nil {
				t.Fatal(err)
			}
			fs.WriteFile(last, change(b))
			before := contents(t, fs)

			_, err = pubstore.OpenFile(dir, o)
			checkNewer(t, "OpenFile", err)
			_, err = pubstore.InspectFile(dir, o, nil)
			checkNewer(t, "InspectFile", err)
			if contents(t, fs) != before {
				t.Error("the files have changed")
			}
		})
	}
}

func contents(t *testing.T, fs *memfs.FS) string {
	t.Helper()
	var all strings.Builder
	for _, name := range fs.Names() {
		b, err := fs.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(name + "\n" + string(b))
	}
	return all.String()
}

func TestBoltNewerVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := openBolt(t, path, false)
	publish(t, s, 3)
	closeStore(t, s)
	damageBucket(t, path, func(root, _ *bbolt.Bucket) error {
		state := append([]byte(nil), root.Get([]byte("state"))...)
		state[1] = 2
		return root.Put([]byte("state"), state)
	})
	_, err := pubstore.OpenBolt(path, pubstore.BoltOptions{AcceptDamage: true})
	checkNewer(t, "OpenBolt", err)
	db := openDB(t, path)
	defer db.Close()
	_, err = pubstore.InspectBolt(db, "publish", pubstore.BoltOptions{}, nil)
	checkNewer(t, "InspectBolt", err)
	err = db.View(func(tx *bbolt.Tx) error {
		root := tx.Bucket([]byte("publish"))
		life := root.Bucket(firstLife(root))
		if root.Get([]byte("state"))[1] != 2 || life == nil || life.Stats().KeyN != 3 {
			t.Error("the store has changed")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A new database is created under a temporary name that no other program uses.
func TestBoltFileKeepsOtherFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	if err := os.WriteFile(path+".tmp", []byte("notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := pubstore.OpenBolt(path, pubstore.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if b, err := os.ReadFile(path + ".tmp"); err != nil || string(b) != "notes" {
		t.Errorf("the other file contains %q, %v", b, err)
	}
}
