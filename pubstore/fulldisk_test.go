package pubstore_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
)

const diskSize = 4 << 20

// openOnSmallDisk opens a store on a disk of 4 MiB.
func openOnSmallDisk(t *testing.T, disk *memfs.FS) *pubstore.File {
	t.Helper()
	disk.SetCapacity(diskSize)
	return openFile(t, testdoor.OnDisk(pubstore.FileOptions{BootID: boot("first"), SegmentBytes: 256 << 10, FailWhenFull: true}, disk))
}

// fillDisk appends messages until ErrFull and returns their number.
func fillDisk(t *testing.T, s *pubstore.File) (n uint64) {
	t.Helper()
	for {
		_, err := s.Append(t.Context(), &pubstore.Message{Topic: "t", Body: make([]byte, 10<<10)})
		if errors.Is(err, pubstore.ErrFull) {
			return n
		}
		if err != nil {
			t.Fatalf("after %d messages: %v", n, err)
		}
		n++
	}
}

// countKept returns the number of messages in the current life. It checks their order and bodies.
func countKept(t *testing.T, s *pubstore.File, first uint64) uint64 {
	t.Helper()
	c, err := s.Cursor(s.Lives()[len(s.Lives())-1].ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var m pubstore.Message
	for next := first; ; next++ {
		ok, err := c.Next(&m)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return next - first
		}
		if m.Sequence != next || len(m.Body) != 10<<10 {
			t.Fatalf("message %d of %d bytes, want %d", m.Sequence, len(m.Body), next)
		}
	}
}

// discardAll discards all messages and waits until their files are deleted.
func discardAll(t *testing.T, s *pubstore.File, through uint64) {
	t.Helper()
	if err := s.Discard(s.Lives()[0].ID, through); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
}

// A store on a full disk returns ErrFull and has not failed. Discards free space for new
// messages.
func TestFileOnAFullDisk(t *testing.T) { synctest.Test(t, testFileOnAFullDisk) }

func testFileOnAFullDisk(t *testing.T) {
	s := openOnSmallDisk(t, memfs.New())
	n := fillDisk(t, s)
	if n < 200 || n > 400 {
		t.Errorf("%d messages of 10 KiB on a disk of 4 MiB", n)
	}
	if got := countKept(t, s, 1); got != n {
		t.Errorf("keeps %d of %d", got, n)
	}
	discardAll(t, s, n)
	if more := fillDisk(t, s); more < n/2 {
		t.Errorf("%d more after all was let go, %d before", more, n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A process dies on a full disk, and other files take the remaining space. Its store opens again in
// the space of the reserve file, as often as needed, discards safe messages, and then creates a new
// reserve file.
func TestFileOpensOnAFullDisk(t *testing.T) { synctest.Test(t, testFileOpensOnAFullDisk) }

func testFileOpensOnAFullDisk(t *testing.T) {
	disk := memfs.New()
	n := fillDisk(t, openOnSmallDisk(t, disk))
	free, _, err := disk.Space(dir)
	if err != nil {
		t.Fatal(err)
	}
	var s *pubstore.File
	for range 5 {
		disk = disk.Crash(memfs.KeepAll)
		disk.SetCapacity(diskSize - free)
		s = openFile(t, testdoor.OnDisk(pubstore.FileOptions{BootID: boot("first"), SegmentBytes: 256 << 10, FailWhenFull: true}, disk))
		if got := countKept(t, s, 1); got != n {
			t.Fatalf("keeps %d of %d", got, n)
		}
		if _, err := s.Append(t.Context(), &pubstore.Message{Topic: "t"}); !errors.Is(err, pubstore.ErrFull) {
			t.Fatalf("append to a full disk: %v", err)
		}
	}
	discardAll(t, s, n)
	disk.SetCapacity(diskSize)
	if more := fillDisk(t, s); more < n/2 {
		t.Errorf("%d more after all was let go, %d before", more, n)
	}
	if _, err := disk.ReadFile(dir + "/reserve"); err != nil {
		t.Error(err)
	}
}

// An Append that waits for space continues when other programs free some, even without a discard.
func TestFileAwaitsSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := memfs.New()
		fillDisk(t, openOnSmallDisk(t, disk))
		disk = disk.Crash(memfs.KeepAll)
		disk.SetCapacity(diskSize)
		s := openFile(t, testdoor.OnDisk(pubstore.FileOptions{BootID: boot("first"), SegmentBytes: 256 << 10}, disk))
		defer s.Close()
		done := make(chan error)
		go func() {
			_, err := s.Append(context.Background(), &pubstore.Message{Topic: "t", Body: make([]byte, 400<<10)})
			done <- err
		}()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("did not wait: %v", err)
		default:
		}
		disk.SetCapacity(2 * diskSize)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
