package replica

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A census counts each publisher once, however many there are, and lists those with the most
// messages that are not safe.
func TestCensus(t *testing.T) {
	for _, n := range []int{0, 1, countedAtOnce - 1, countedAtOnce, countedAtOnce + 1, 3*countedAtOnce + 7} {
		synctest.Test(t, func(t *testing.T) {
			j, l := linksOfMany(t, n)
			defer j.Close()
			c := l.census()
			want := uint64(n) * uint64(n+1) / 2
			if c.Records != want || c.Unsafe != want || c.unacknowledged[l.dests[0]] != want || len(c.Behind) != min(n, MaxBehind) {
				t.Errorf("%d publishers: %d records, %d unsafe, %d unacknowledged, %d behind, want %d", n, c.Records, c.Unsafe, c.unacknowledged[l.dests[0]], len(c.Behind), want)
			}
			for i, b := range c.Behind {
				if b.Messages != uint64(n-i) {
					t.Errorf("%d publishers: number %d has %d messages", n, i, b.Messages)
				}
			}
			for i := range n { // the peer acknowledges everything of all but two
				if i > 1 {
					l.dests[0].progress.Acked(bookmark.Bookmark{Publisher: uint64(i + 1), Sequence: uint64(i + 1)})
				}
			}
			if c = l.census(); n > 2 && (c.Unsafe != 3 || !slices.Equal(c.Behind, []PublisherLag{{2, 2}, {1, 1}})) {
				t.Errorf("%d publishers, of which two are not safe: %d messages, %v", n, c.Unsafe, c.Behind)
			}
		})
	}
}

// linksOfMany returns the links of a journal with n publishers. The one with id i has i messages.
func linksOfMany(t testing.TB, n int) (*journal.Journal, *Links) {
	return linksOf(t, n, func(i int) int { return i + 1 })
}

func linksOf(t testing.TB, n int, messages func(int) int) (*journal.Journal, *Links) {
	t.Helper()
	j, err := journal.Open(journal.Options{FS: memfs.New(), Dir: "j"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		for s := range uint64(messages(i)) {
			r := message(uint64(i+1), s+1, "orders")
			r.Prev = s
			if _, err := j.Append(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	l, err := newLinks(Options{Name: "a", Group: "g", Journal: j, Destinations: []Destination{to("b")}, HoldBytes: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	return j, l
}

// BenchmarkCensus measures a census, and the longest and the mean time for which it holds the locks
// of the journal and of the links.
func BenchmarkCensus(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			j, l := linksOf(b, n, func(int) int { return 1 })
			defer j.Close()
			for i := range n {
				l.dests[0].progress.Acked(bookmark.Bookmark{Publisher: uint64(i + 1), Sequence: 1})
			}
			var longest, total time.Duration
			parts, part := 0, make([]journal.PublisherCounts, 0, countedAtOnce)
			for b.Loop() {
				l.census()
			}
			for from := uint64(0); from <= uint64(n); from += countedAtOnce {
				began := time.Now()
				part = j.CountsFrom(from, part[:0])
				took := time.Since(began)
				longest, total, parts = max(longest, took), total+took, parts+1
			}
			b.ReportMetric(float64(longest.Nanoseconds())/1e3, "µs/longest-lock")
			b.ReportMetric(float64(total.Nanoseconds())/1e3/float64(parts), "µs/lock")
		})
	}
}
