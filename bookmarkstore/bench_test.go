package bookmarkstore_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
)

// These benchmarks measure the cost of a bookmark store for its application (work B7).

// stores are opened anew for each benchmark.
var stores = []struct {
	name string
	open func(*testing.B) bookmarkstore.Store
}{
	{"Memory", func(*testing.B) bookmarkstore.Store { return bookmarkstore.NewMemory() }},
	{"Bolt", func(b *testing.B) bookmarkstore.Store {
		s, err := bookmarkstore.OpenBolt(filepath.Join(b.TempDir(), "marks.db"), bookmarkstore.BoltOptions{})
		if err != nil {
			b.Fatal(err)
		}
		return s
	}},
}

// BenchmarkDiscard receives and discards one message per operation, in order or in reverse order
// within a window, with several publishers.
func BenchmarkDiscard(b *testing.B) {
	for _, st := range stores {
		for _, publishers := range []uint64{1, 1000} {
			for _, window := range []int{1, 64} {
				order := map[bool]string{true: "in", false: "backwards"}[window == 1]
				b.Run(fmt.Sprintf("%s/publishers=%d/order=%s", st.name, publishers, order), func(b *testing.B) {
					benchmarkDiscard(b, st.open(b), publishers, window)
				})
			}
		}
	}
}

// BenchmarkResume asks for the resume vector with 100,000 outstanding messages.
func BenchmarkResume(b *testing.B) {
	for _, st := range stores {
		for _, publishers := range []uint64{1, 1000} {
			b.Run(fmt.Sprintf("%s/publishers=%d", st.name, publishers), func(b *testing.B) {
				benchmarkResume(b, st.open(b), publishers)
			})
		}
	}
}

// benchmarkDiscard receives messages of the publishers in turn. It discards each window of
// messages from the last to the first.
func benchmarkDiscard(b *testing.B, store bookmarkstore.Store, publishers uint64, window int) {
	defer store.Close()
	s, err := store.OpenSubscription("s", orders)
	if err != nil {
		b.Fatal(err)
	}
	queue := make([]bookmarkstore.Bookmark, 0, window)
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		// Each publisher sends a window of messages, then the next publisher does.
		m := bookmarkstore.Bookmark{Publisher: n / uint64(window) % publishers, Sequence: n + 1}
		n++
		s.Receive(m)
		if queue = append(queue, m); len(queue) == window {
			for i := range queue {
				if err := s.Discard(queue[window-1-i]); err != nil {
					b.Fatal(err)
				}
			}
			queue = queue[:0]
		}
	}
	b.StopTimer()
	if err := store.Sync(context.Background()); err != nil {
		b.Fatal(err)
	}
}

func benchmarkResume(b *testing.B, store bookmarkstore.Store, publishers uint64) {
	defer store.Close()
	s, err := store.OpenSubscription("s", orders)
	if err != nil {
		b.Fatal(err)
	}
	for n := range uint64(100_000) {
		s.Receive(bookmarkstore.Bookmark{Publisher: n % publishers, Sequence: n + 1})
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Received()
		s.Discarded()
	}
}
