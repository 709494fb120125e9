package bookmarkstore

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/boltfile/boltfiletest"
)

func openPrivate(t *testing.T, path string) (*Bolt, Subscription) {
	t.Helper()
	b, err := OpenBolt(path, BoltOptions{CommitInterval: time.Hour, CommitThreshold: 1 << 30}) // only Sync commits
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	s, err := b.OpenSubscription("s", Query{Topic: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	return b, s
}

// discard receives and discards messages from to to of a publisher.
func discard(t *testing.T, b *Bolt, s Subscription, from, to uint64) {
	t.Helper()
	var err error
	for n := from; n <= to && err == nil; n++ {
		s.Receive(Bookmark{Publisher: 1, Sequence: n})
		err = s.Discard(Bookmark{Publisher: 1, Sequence: n})
	}
	if err = errors.Join(err, b.Sync(context.Background())); err != nil {
		t.Fatal(err)
	}
}

// bytesPerDiscard returns the bytes of the pages that one discard with its own commit writes.
func bytesPerDiscard(t *testing.T, b *Bolt, s Subscription, from uint64) int64 {
	t.Helper()
	const discards = 20
	return boltfiletest.BytesWritten(b.db, func() {
		for n := range uint64(discards) {
			discard(t, b, s, from+n, from+n)
		}
	}) / discards
}

// The bytes that a discard writes, and the size of the reopened file, follow the current number
// of out-of-order discards, not the largest number so far.
func TestBoltAfterABacklog(t *testing.T) {
	const backlog = 250_000 // more than fit into a file that is not compacted
	path := filepath.Join(t.TempDir(), "marks.db")
	b, s := openPrivate(t, path)
	if err := s.SetBase(Vector{1: 0}); err != nil {
		t.Fatal(err)
	}
	before := bytesPerDiscard(t, b, s, 1)
	s.Receive(Bookmark{Publisher: 1, Sequence: 21})
	discard(t, b, s, 22, backlog)
	if err := s.Discard(Bookmark{Publisher: 1, Sequence: 21}); err != nil {
		t.Fatal(err)
	}
	discard(t, b, s, backlog+1, backlog+1)
	if after := bytesPerDiscard(t, b, s, backlog+2); after > 2*before {
		t.Errorf("a discard writes %d bytes after the backlog, %d before it", after, before)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if size := boltfiletest.FileSize(t, path); size < 16<<20 {
		t.Fatalf("the backlog left a file of %d bytes", size)
	}
	b, s = openPrivate(t, path)
	if size := boltfiletest.FileSize(t, path); size > 1<<20 {
		t.Errorf("%d bytes when opened again", size)
	}
	if after := bytesPerDiscard(t, b, s, backlog+22); after > 2*before {
		t.Errorf("a discard writes %d bytes when opened again, %d before the backlog", after, before)
	}
	if v, _ := s.Discarded(); v[1] != backlog+41 {
		t.Errorf("Discarded() = %v, want %d", v, backlog+41)
	}
}
