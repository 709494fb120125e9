package journal_test

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A decree and the publishers that have used it survive restarts, also in the head of a segment
// alone.
func TestDecreeIsKept(t *testing.T) {
	p, q := bookmark.IdentityOfLife("p").ID, bookmark.IdentityOfLife("q").ID
	for name, more := range map[string]uint64{"in its record": 0, "in a head": 200} {
		t.Run(name, func(t *testing.T) {
			disk := memfs.New()
			j := mustOpen(t, disk)
			fill(t, j, p, 1, 3)
			fill(t, j, q, 1, 3)
			if j.DecreeUnused(p) {
				t.Fatal("DecreeUnused without a decree")
			}
			first := journal.Decree{Incarnation: 1, ID: 7, Members: []string{"c"}, Lost: []string{"a", "b"}, Time: time.UnixMicro(5)}
			if err := j.RecordDecree(first); err != nil {
				t.Fatal(err)
			}
			if err := j.UseDecree(p); err != nil {
				t.Fatal(err)
			}
			fill(t, j, q, 4, 3+more)
			mustSync(t, j)
			if more > 0 {
				if n, err := j.Trim(journal.Retention{Bytes: 1}); n == 0 || err != nil {
					t.Fatalf("%d segments removed: %v", n, err)
				}
			}
			verifyAndClose(t, j)

			j = mustOpen(t, disk)
			defer func() { verifyAndClose(t, j) }()
			d := j.Decree()
			if !d.Same(first) || !d.Stands() || !slices.Equal(d.Lost, first.Lost) || !slices.Equal(d.Members, first.Members) || !d.Time.Equal(first.Time) {
				t.Errorf("the decree is %+v", d)
			}
			if j.DecreeUnused(p) || !j.DecreeUnused(q) || !j.DecreeUnused(99) {
				t.Errorf("unused by p %v, by q %v; want q alone", j.DecreeUnused(p), j.DecreeUnused(q))
			}
			if ids, n := j.UnseenSinceDecree(5); n != 1 || !slices.Equal(ids, []uint64{q}) {
				t.Errorf("%d publishers have not used it: %d; want q alone", n, ids)
			}
			if err := j.RecordDecree(journal.Decree{Incarnation: 2, ID: 8}); err != nil {
				t.Fatal(err)
			}
			if ids, n := j.UnseenSinceDecree(1); !j.DecreeUnused(p) || n != 2 || len(ids) != 1 {
				t.Error("a new decree is used already")
			}
			if err := j.RecordDecree(journal.Decree{Incarnation: 2, ID: 8, Ended: true}); err != nil {
				t.Fatal(err)
			}
			if _, n := j.UnseenSinceDecree(5); n != 0 || j.DecreeUnused(p) || j.Decree().Stands() {
				t.Error("a decree that has ended can be used")
			}
		})
	}
}

// A decree ends by the age of the log, including its age on other instances before.
func TestDecreeEndsByAge(t *testing.T) {
	now := time.Unix(1e9, 0)
	elapsed := time.Hour
	j := openForTest(t, memfs.New(), func(o *journal.Options) {
		o.Now = func() time.Time { return now }
		o.Elapsed = func() time.Duration { return elapsed }
	})
	if err := j.RecordDecree(journal.Decree{Incarnation: 1, ID: 7, Age: 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(365 * 24 * time.Hour) // setting the clock ends nothing
	elapsed += 6*24*time.Hour - time.Second
	if d := j.Decree(); !j.DecreeUnused(1) || d.Age != 7*24*time.Hour-time.Second {
		t.Errorf("it has stood for %v, and stands: %v", d.Age, d.Stands())
	}
	elapsed += time.Second
	if j.DecreeUnused(1) {
		t.Error("the decree stands for longer than 7 days")
	}
}
