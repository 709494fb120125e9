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

// A disk of 40 MiB and stores as they are by default: each fills it, says so, is
// opened again on the full disk though others have taken all that is left, keeps
// all it has taken, and goes on once that was let go or space was made.
func TestOnARealFullDisk(t *testing.T) {
	smalldisk.Run(t, "40m", func(dir string) {
		t.Run("file", func(t *testing.T) {
			onRealFullDisk(t, dir, func() (pubstore.Store, error) {
				return pubstore.OpenFile(filepath.Join(dir, "store"), pubstore.FileOptions{FailWhenFull: true})
			})
		})
		t.Run("bolt", func(t *testing.T) {
			onRealFullDisk(t, dir, func() (pubstore.Store, error) {
				return pubstore.OpenBolt(filepath.Join(dir, "store"), pubstore.BoltOptions{FailWhenFull: true})
			})
		})
	})
}

func onRealFullDisk(t *testing.T, dir string, open func() (pubstore.Store, error)) {
	s := opened(t, open)
	n := fillUp(t, s)
	t.Logf("took %d messages of 20 KiB", n)
	if n < 500 {
		t.Errorf("took %d messages of 20 KiB", n)
	}
	rest := smalldisk.TakeRest(t, dir)
	if err := s.Close(); err != nil && !errors.Is(err, syscall.ENOSPC) { // what is staged may have no space
		t.Fatal(err)
	}
	for range 3 {
		s = opened(t, open)
		if kept := s.Usage().Messages; kept != n {
			t.Fatalf("keeps %d of %d", kept, n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s = opened(t, open)
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
	s = opened(t, open)
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

func opened(t *testing.T, open func() (pubstore.Store, error)) pubstore.Store {
	t.Helper()
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fillUp appends until the store says that it is full.
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
