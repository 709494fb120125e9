package pubstore

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/boltfile/boltfiletest"
)

const backlog = 500 // messages of 64 KiB: more than fit into a file that is not compacted

func mustOpenBolt(t *testing.T, path string) *Bolt {
	t.Helper()
	s, err := OpenBolt(path, BoltOptions{
		CommitInterval: time.Hour, // only Appends commit
		BootID:         func() (string, error) { return "boot", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustAppend(t *testing.T, s *Bolt) uint64 {
	t.Helper()
	seq, err := s.Append(context.Background(), &Message{Topic: "orders", Body: []byte("order")})
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// bytesPerPublish returns the bytes of the pages that one publish writes while the servers keep up.
func bytesPerPublish(t *testing.T, s *Bolt) int64 {
	t.Helper()
	const publishes = 20
	life := s.Lives()[0].ID
	mustAppend(t, s)
	return boltfiletest.BytesWritten(s.db, func() {
		for range publishes {
			if err := s.Discard(life, mustAppend(t, s)-1); err != nil {
				t.Fatal(err)
			}
		}
	}) / publishes
}

// fillAndDrain appends a backlog and discards all of it except the newest message.
func fillAndDrain(t *testing.T, s *Bolt) {
	t.Helper()
	body := make([]byte, 64<<10)
	last := uint64(0)
	err := s.db.Update(func(tx *bbolt.Tx) (err error) {
		for range backlog {
			if last, err = s.AppendTx(tx, "orders", body); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = s.Discard(s.Lives()[0].ID, last)
	}
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s) // its commit deletes them
}

// The bytes that a publish writes, and the size of the reopened file, follow the current number
// of messages, not the largest number so far.
func TestBoltAfterABacklog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := mustOpenBolt(t, path)
	before := bytesPerPublish(t, s)
	fillAndDrain(t, s)
	if after := bytesPerPublish(t, s); after > 2*before {
		t.Errorf("a publish writes %d bytes after the backlog, %d before it", after, before)
	}
	last := mustAppend(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if size := boltfiletest.FileSize(t, path); size < 16<<20 {
		t.Fatalf("the backlog left a file of %d bytes", size)
	}
	s = mustOpenBolt(t, path)
	if size := boltfiletest.FileSize(t, path); size > 1<<20 {
		t.Errorf("%d bytes when opened again", size)
	}
	if after := bytesPerPublish(t, s); after > 2*before {
		t.Errorf("a publish writes %d bytes when opened again, %d before the backlog", after, before)
	}
	if lives := s.Lives(); len(lives) != 1 {
		t.Errorf("%d lives", len(lives))
	}
	if next := mustAppend(t, s); next != last+22 {
		t.Errorf("message %d follows %d and 21 others", next, last)
	}
}

// A file that may lack its last commit is not compacted before the store has begun a new life:
// the copy would hide the missing commit (R10).
func TestBoltDoubtIsNotCompacted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := mustOpenBolt(t, path)
	fillAndDrain(t, s)
	mustAppend(t, s)
	life := s.Lives()[0].ID
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tearNewestMeta(t, path)
	s = mustOpenBolt(t, path)
	if lives := s.Lives(); lives[len(lives)-1].ID == life {
		t.Error("the life continues, and may give out a sequence twice")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpenBolt(t, path)
	if size := boltfiletest.FileSize(t, path); size > 1<<20 {
		t.Errorf("%d bytes when opened again", size)
	}
}

// tearNewestMeta leaves a database as a power cut during its last commit does.
func tearNewestMeta(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	newest := int64(0)
	err = db.View(func(tx *bbolt.Tx) error {
		newest = int64(tx.ID()) % 2 * int64(db.Info().PageSize)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 64), newest+16); err != nil {
		t.Fatal(err)
	}
}
