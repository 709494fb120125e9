package pubstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testkit/smalldisk"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// Each store, with default options, fills a disk of 40 MiB and returns ErrFull. It opens again on
// the full disk, although another file has taken all remaining space. It still has every message
// that it took, and takes more once messages are discarded and the space is free.
func TestOnARealFullDisk(t *testing.T) {
	smalldisk.Run(t, "40m", func(dir string) {
		t.Run("file", func(t *testing.T) {
			testOnRealFullDisk(t, dir, func() (pubstore.Store, error) {
				return pubstore.OpenFile(filepath.Join(dir, "store"), pubstore.FileOptions{FailWhenFull: true})
			})
		})
		t.Run("bolt", func(t *testing.T) {
			testOnRealFullDisk(t, dir, func() (pubstore.Store, error) {
				return pubstore.OpenBolt(filepath.Join(dir, "store"), pubstore.BoltOptions{FailWhenFull: true})
			})
		})
	})
}

func testOnRealFullDisk(t *testing.T, dir string, open func() (pubstore.Store, error)) {
	s := mustOpen(t, open)
	n := fillUp(t, s)
	t.Logf("took %d messages of 20 KiB", n)
	if n < 500 {
		t.Errorf("took %d messages of 20 KiB", n)
	}
	rest := smalldisk.Fill(t, dir)
	if err := s.Close(); err != nil && !errors.Is(err, syscall.ENOSPC) { // the staged records may have no space
		t.Fatal(err)
	}
	for range 3 {
		s = mustOpen(t, open)
		if kept := s.Usage().Messages; kept != n {
			t.Fatalf("keeps %d of %d", kept, n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s = mustOpen(t, open)
	life := s.Lives()[0]
	if err := s.Discard(life.ID, life.Last); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(rest); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, open)
	if more := fillUp(t, s); more < n/2 {
		t.Errorf("took %d messages once there was space again, %d before", more, n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "store")); err != nil {
		t.Error(err)
	}
}

func mustOpen(t *testing.T, open func() (pubstore.Store, error)) pubstore.Store {
	t.Helper()
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fillUp appends until ErrFull.
func fillUp(t *testing.T, s pubstore.Store) (n int) {
	t.Helper()
	for {
		_, err := s.Append(t.Context(), &pubstore.Message{Topic: "t", Body: make([]byte, 20<<10)})
		if errors.Is(err, pubstore.ErrFull) {
			return n
		}
		if err != nil {
			t.Fatalf("after %d messages: %v", n, err)
		}
		n++
	}
}
