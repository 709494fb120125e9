package journal_test

import (
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// An instance takes over the higher numbers of its peers, durably. No number falls.
func TestGroupClockIsMergedAndKept(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk)
	want := func(clock, forgotten uint64) {
		t.Helper()
		if got, want := j.GroupClock(), (journal.GroupClock{Now: clock, Forgotten: forgotten}); got != want {
			t.Fatalf("group clock %+v, want %+v", got, want)
		}
	}
	merge := func(clock, forgotten uint64) {
		t.Helper()
		if err := j.MergeGroupClock(journal.GroupClock{Now: clock, Forgotten: forgotten}); err != nil {
			t.Fatal(err)
		}
	}
	want(1, 0)
	merge(7, 3)
	merge(5, 4)
	want(7, 4)
	fill(t, j, 1, 1, 3) // seen at tick 7
	verifyAndClose(t, j)
	j = mustOpen(t, disk)
	want(7, 4)
	fill(t, j, 2, 1, 200) // enough for a head with the clock
	verifyAndClose(t, j)
	j = mustOpen(t, disk)
	defer verifyAndClose(t, j)
	want(7, 4)
}

// The journal forgets a publisher only once the group agrees to its have. The Forgotten clock
// rises then, and both survive a restart.
func TestForgettingNeedsAgreement(t *testing.T) {
	disk, c := memfs.New(), newManualClock()
	use := func(o *journal.Options) { o.Now = c.Now }
	j := mustOpen(t, disk, use)
	defer func() { verifyAndClose(t, j) }()
	fill(t, j, 1, 1, 5)
	var asked []bookmark.Bookmark
	for range 20 {
		fill(t, j, 9, state(j, 9).Have+1, state(j, 9).Have+100)
		mustSync(t, j)
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
		t.Fatal("the publisher was forgotten without agreement")
	}
	for _, agreement := range []bookmark.Bookmark{{Publisher: 1, Sequence: 4}, {Publisher: 1, Sequence: 5}} {
		agree := func([]bookmark.Bookmark) (agreed, closed []bookmark.Bookmark) {
			return []bookmark.Bookmark{agreement}, nil
		}
		if _, err := j.Trim(journal.Retention{Age: time.Hour, AgreeToForget: agree}); err != nil {
			t.Fatal(err)
		}
		if _, known := j.State(1); known != (agreement.Sequence == 4) {
			t.Fatalf("known %v after the group agreed to %v", known, agreement)
		}
	}
	if _, known := j.State(1); known || j.GroupClock().Forgotten != 2 {
		t.Fatalf("known %v, %+v", known, j.GroupClock())
	}
	verifyAndClose(t, j)
	j = mustOpen(t, disk, use)
	if _, known := j.State(1); known || j.GroupClock().Forgotten != 2 {
		t.Fatalf("after a restart: known %v, %+v", known, j.GroupClock())
	}
}
