package journal_test

import (
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// Removed messages up to the number at which a publisher was closed count only for a place
// that names the publisher, also after the publisher came back (R10).
func TestClosedIsNotRemoved(t *testing.T) {
	disk, c := memfs.New(), newManualClock()
	use := func(o *journal.Options) { o.Now = c.Now }
	j := mustOpen(t, disk, use)
	fill(t, j, 1, 1, 5)
	noAgreement := func([]bookmark.Bookmark) (agreed, closed []bookmark.Bookmark) { return nil, nil }
	quarters := func(n int) {
		t.Helper()
		for range n {
			fill(t, j, 9, state(j, 9).Have+1, state(j, 9).Have+100)
			mustSync(t, j)
			c.add(15 * time.Minute)
			if _, err := j.Trim(journal.Retention{Age: time.Hour, AgreeToForget: noAgreement}); err != nil {
				t.Fatal(err)
			}
		}
	}
	removed := func(named bookmark.Vector) uint64 {
		return j.RemovedMatching(func([]byte) bool { return true }, named)[1]
	}
	want := func(when string, unnamed, named uint64) {
		t.Helper()
		if got := removed(nil); got != unnamed {
			t.Errorf("%s: removed is %d for a place that does not name the publisher, want %d", when, got, unnamed)
		}
		if got := removed(bookmark.Vector{1: 1}); got != named {
			t.Errorf("%s: removed is %d for a place that names the publisher, want %d", when, got, named)
		}
	}
	quarters(8)
	want("not long ago", 5, 5)
	agree := func(to uint64) {
		t.Helper()
		_, err := j.Trim(journal.Retention{Age: time.Hour, AgreeToForget: func([]bookmark.Bookmark) (agreed, closed []bookmark.Bookmark) {
			return nil, []bookmark.Bookmark{{Publisher: 1, Sequence: to}}
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	agree(5)
	want("not silent for long enough", 5, 5)
	quarters(3)
	want("an instance is away", 5, 5)
	agree(4)
	want("it is further here", 5, 5)
	agree(5)
	want("closed", 0, 5)
	quarters(4)
	if s := state(j, 1); !s.Closing || s.ClosedUpTo != 5 || s.Leaving {
		t.Fatalf("%+v", s)
	}
	quarters(1)
	if s := state(j, 1); !s.Leaving {
		t.Fatalf("%+v", s)
	}
	fill(t, j, 1, 6, 7)
	want("come back", 0, 5)
	verifyAndClose(t, j)
	j = mustOpen(t, disk, use)
	want("opened again", 0, 5)
	quarters(7)
	want("removed again", 7, 7)
	named := bookmark.Vector{2: 1}
	if removed(named); named[1] != 5 {
		t.Errorf("a gap begins after %d, want 5", named[1])
	}
	if s := state(j, 1); s.Closing || s.Leaving || s.ClosedUpTo != 5 {
		t.Errorf("%+v", s)
	}
	verifyAndClose(t, j)
	j = mustOpen(t, disk, use)
	defer verifyAndClose(t, j)
	want("opened once more", 7, 7)
}

// A marker with the cause Closed has the same effect as closing the publisher here.
func TestClosedByMarker(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk)
	mustAppend(t, j, &journal.Record{Kind: journal.Gone, Publisher: 1, Sequence: 5, Cause: journal.Closed}, journal.Accepted)
	mustAppend(t, j, &journal.Record{Kind: journal.Gone, Publisher: 2, Sequence: 5}, journal.Accepted)
	fill(t, j, 1, 6, 6)
	for _, opened := range []string{"at once", "again"} {
		v := j.RemovedMatching(func([]byte) bool { return true }, nil)
		if s := state(j, 1); s.Floor != 5 || s.Have != 6 || s.ClosedUpTo != 5 || v[1] != 0 || v[2] != 5 {
			t.Errorf("%s: %+v, removed are %v", opened, s, v)
		}
		verifyAndClose(t, j)
		j = mustOpen(t, disk)
	}
	verifyAndClose(t, j)
}
