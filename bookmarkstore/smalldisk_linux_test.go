package bookmarkstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/testkit/smalldisk"
)

// Other files fill a real disk of 40 MiB. A bookmark store opens on the full disk. If it cannot
// write a discard, it fails. It still has every discard that Sync covered, and works again once
// there is space.
func TestOnARealFullDisk(t *testing.T) {
	smalldisk.Run(t, "40m", func(dir string) {
		path := filepath.Join(dir, "marks")
		b, sub := openStore(t, path)
		check(t, sub.SetBase(bookmarkstore.Vector{}))
		kept := discardUntil(t, b, sub, 1, 100)
		rest := smalldisk.Fill(t, dir)
		for range 3 { // a commit needs pages: the file may have free ones or not
			next := discardUntil(t, b, sub, kept, kept+50)
			if err := b.Close(); err != nil && !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			b, sub = openStore(t, path)
			v, known := sub.Discarded()
			if !known || v[1] < next-1 {
				t.Fatalf("discarded %v, known: %v; %d was on disk", v, known, next-1)
			}
			kept = v[1] + 1
		}
		check(t, b.Close())
		check(t, os.Remove(rest))
		b, sub = openStore(t, path)
		if next := discardUntil(t, b, sub, kept, kept+50); next != kept+50 {
			t.Errorf("with space again: discarded up to %d of %d", next-1, kept+49)
		}
		check(t, b.Close())
	})
}

func openStore(t *testing.T, path string) (*bookmarkstore.Bolt, bookmarkstore.Subscription) {
	t.Helper()
	b, err := bookmarkstore.OpenBolt(path, bookmarkstore.BoltOptions{})
	check(t, err)
	sub, err := b.OpenSubscription("s", orders)
	check(t, err)
	return b, sub
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// discardUntil receives and discards from n to before end, and syncs each discard. It returns the
// number after the last synced one.
func discardUntil(t *testing.T, b *bookmarkstore.Bolt, sub bookmarkstore.Subscription, n, end uint64) uint64 {
	t.Helper()
	for ; n < end; n++ {
		m := bookmarkstore.Bookmark{Publisher: 1, Sequence: n}
		sub.Receive(m)
		if err := errors.Join(sub.Discard(m), b.Sync(t.Context())); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(fmt.Errorf("discard %d: %w", n, err))
			}
			return n
		}
	}
	return n
}
