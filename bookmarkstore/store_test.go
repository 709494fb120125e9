package bookmarkstore_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/bookmarkstore/bookmarkstoretest"
	"go.etcd.io/bbolt"
)

func TestMemory(t *testing.T) {
	bookmarkstoretest.Run(t, bookmarkstoretest.Harness{
		New:      func(*testing.T) bookmarkstoretest.Disk { return memoryDisk{} },
		Volatile: true,
	})
}

func TestBolt(t *testing.T) {
	bookmarkstoretest.Run(t, bookmarkstoretest.Harness{
		New: func(t *testing.T) bookmarkstoretest.Disk {
			return &boltDisk{path: filepath.Join(t.TempDir(), "marks.db")}
		},
	})
}

func TestBoltSyncAlways(t *testing.T) {
	bookmarkstoretest.Run(t, bookmarkstoretest.Harness{
		New: func(t *testing.T) bookmarkstoretest.Disk {
			return &boltDisk{
				path:    filepath.Join(t.TempDir(), "marks.db"),
				options: bookmarkstore.BoltOptions{SyncAlways: true},
			}
		},
	})
}

func TestBoltIn(t *testing.T) {
	bookmarkstoretest.Run(t, bookmarkstoretest.Harness{
		New: func(t *testing.T) bookmarkstoretest.Disk {
			d := &sharedDisk{t: t, path: filepath.Join(t.TempDir(), "app.db")}
			t.Cleanup(func() { d.db.Close() })
			return d
		},
	})
}

// A late Discard counts until another caller acquires the id.
func TestDiscardAfterRelease(t *testing.T) {
	for name, d := range map[string]bookmarkstoretest.Disk{
		"Memory": memoryDisk{},
		"Bolt":   &boltDisk{path: filepath.Join(t.TempDir(), "marks.db")},
	} {
		store, err := d.Open()
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.OpenSubscription("s", orders)
		if err != nil {
			t.Fatal(err)
		}
		s.Receive(refOf("s", 1).Bookmark)
		s.Release()
		if err := s.Discard(refOf("s", 1).Bookmark); err != nil {
			t.Errorf("%s: Discard after Release = %v", name, err)
		}
		if s, err = store.OpenSubscription("s", orders); err != nil {
			t.Fatal(err)
		}
		if v, _ := s.Discarded(); v[1] != 1 {
			t.Errorf("%s: Discarded() = %v, want 1", name, v)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

type memoryDisk struct{}

func (memoryDisk) Open() (bookmarkstore.Store, error) { return bookmarkstore.NewMemory(), nil }
func (memoryDisk) Kill(bookmarkstore.Store) error     { return nil }

// A boltDisk is a database file. Kill leaves a copy of the committed data.
type boltDisk struct {
	path    string
	kills   int
	options bookmarkstore.BoltOptions
}

func (d *boltDisk) Open() (bookmarkstore.Store, error) {
	b, err := bookmarkstore.OpenBolt(d.path, d.options)
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (d *boltDisk) Kill(s bookmarkstore.Store) error {
	d.kills++
	d.path = fmt.Sprintf("%s.%d", d.path, d.kills)
	b := s.(*bookmarkstore.Bolt)
	return errors.Join(b.Snapshot(d.path), b.Close())
}

// A sharedDisk is a bucket in a database of an application.
type sharedDisk struct {
	t     *testing.T
	path  string
	kills int
	db    *bbolt.DB
}

func (d *sharedDisk) Open() (bookmarkstore.Store, error) {
	if d.db == nil {
		db, err := bbolt.Open(d.path, 0o600, nil)
		if err != nil {
			return nil, err
		}
		d.db = db
	}
	return bookmarkstore.OpenBoltIn(d.db, "marks", bookmarkstore.BoltOptions{})
}

func (d *sharedDisk) Kill(s bookmarkstore.Store) error {
	d.kills++
	d.path = fmt.Sprintf("%s.%d", d.path, d.kills)
	err := errors.Join(s.(*bookmarkstore.Bolt).Snapshot(d.path), s.Close(), d.db.Close())
	d.db = nil
	return err
}

func TestParseBookmark(t *testing.T) {
	want := bookmarkstore.Bookmark{Publisher: 7094790850998930143, Sequence: 43}
	if got, err := bookmarkstore.ParseBookmark(want.String()); err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if _, err := bookmarkstore.ParseBookmark("7|x|"); err == nil || !strings.Contains(err.Error(), `"7|x|"`) {
		t.Errorf("the error does not quote the text: %v", err)
	}
}
