package journal_test

import (
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// An instance takes over the higher numbers of its peers and keeps them. No number falls.
func TestClosingIsHeardAndKept(t *testing.T) {
	disk := memfs.New()
	j := openOn(t, disk)
	want := func(clock, forgotten uint64) {
		t.Helper()
		if got, want := j.GroupClock(), (journal.GroupClock{Now: clock, Forgotten: forgotten}); got != want {
			t.Fatalf("group clock %+v, want %+v", got, want)
		}
	}
	hear := func(clock, forgotten uint64) {
		t.Helper()
		if err := j.MergeGroupClock(journal.GroupClock{Now: clock, Forgotten: forgotten}); err != nil {
			t.Fatal(err)
		}
	}
	want(1, 0)
	hear(7, 3)
	hear(5, 4)
	want(7, 4)
	fill(t, j, 1, 1, 3) // seen at clock 7
	end(t, j)
	j = openOn(t, disk)
	want(7, 4)
	fill(t, j, 2, 1, 200) // enough for a head with the clock
	end(t, j)
	j = openOn(t, disk)
	defer end(t, j)
	want(7, 4)
}

// A publisher is forgotten only once the group agrees to its have. The Forgotten clock
// rises with it, and both survive a restart.
func TestForgettingAsksTheGroup(t *testing.T) {
	disk, c := memfs.New(), newClock()
	use := func(o *journal.Options) { o.Now = c.Now }
	j := openOn(t, disk, use)
	defer func() { end(t, j) }()
	fill(t, j, 1, 1, 5)
	var asked []bookmark.Bookmark
	for range 20 {
		fill(t, j, 9, state(j, 9).Have+1, state(j, 9).Have+100)
		synced(t, j)
		c.add(15 * time.Minute)
		_, err := j.Trim(journal.Retention{Age: time.Hour, AgreeToForget: func(closing []bookmark.Bookmark) (agreed, closed []bookmark.Bookmark) {
			asked = append(asked, closing...)
			return nil, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(asked) == 0 || asked[0] != (bookmark.Bookmark{Publisher: 1, Sequence: 5}) {
		t.Fatalf("asked about %v", asked)
	}
	if _, known := j.State(1); !known || j.GroupClock().Forgotten != 0 {
		t.Fatal("it was forgotten without agreement")
	}
	for _, says := range []bookmark.Bookmark{{Publisher: 1, Sequence: 4}, {Publisher: 1, Sequence: 5}} {
		agree := func([]bookmark.Bookmark) (agreed, closed []bookmark.Bookmark) { return []bookmark.Bookmark{says}, nil }
		if _, err := j.Trim(journal.Retention{Age: time.Hour, AgreeToForget: agree}); err != nil {
			t.Fatal(err)
		}
		if _, known := j.State(1); known != (says.Sequence == 4) {
			t.Fatalf("known %v, where the group agrees to %v", known, says)
		}
	}
	if _, known := j.State(1); known || j.GroupClock().Forgotten != 2 {
		t.Fatalf("known %v, %+v", known, j.GroupClock())
	}
	end(t, j)
	j = openOn(t, disk, use)
	if _, known := j.State(1); known || j.GroupClock().Forgotten != 2 {
		t.Fatalf("after a restart: known %v, %+v", known, j.GroupClock())
	}
}
