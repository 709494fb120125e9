package journal_test

import (
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

var theirCluster = journal.ClusterID{1, 2, 3, 15: 4}

// A change of the cluster is durable when the call returns, and is in the heads of later
// segments.
func TestClusterIsKept(t *testing.T) {
	for _, found := range []bool{true, false} {
		disk := memfs.New()
		j := mustOpen(t, disk)
		if c := j.Cluster(); !c.ID.IsZero() || c.ID.String() != "" || !j.Empty() {
			t.Fatalf("a new journal belongs to cluster %+v", c)
		}
		want := journal.Cluster{ID: theirCluster}
		if found {
			c, err := j.FoundCluster()
			if err != nil || c.ID.IsZero() {
				t.Fatalf("%+v, %v", c, err)
			}
			want = journal.Cluster{ID: c.ID, Founded: true, Intact: true}
		} else if err := j.AdoptCluster(theirCluster); err != nil {
			t.Fatal(err)
		}
		disk = disk.Crash(memfs.Durable)
		_ = j.Kill()
		j = mustOpen(t, disk)
		if got := j.Cluster(); got != want {
			t.Fatalf("%+v after a power cut, want %+v", got, want)
		}
		if !found {
			if err := j.BecomeIntact(); err != nil {
				t.Fatal(err)
			}
			want.Intact = true
		}
		first := j.First()
		publishUntil(t, j, func() bool { return j.First() == first && j.End() > 64<<10 })
		if _, err := j.Trim(journal.Retention{Bytes: 1}); err != nil || j.First() == first {
			t.Fatalf("nothing was trimmed: %v", err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j = openForTest(t, disk)
		if got := j.Cluster(); got != want || j.Empty() {
			t.Errorf("%+v from a head, want %+v", got, want)
		}
		if _, err := j.FoundCluster(); err == nil {
			t.Error("the journal has made a second id")
		}
	}
}

// publishUntil appends messages until enough returns true.
func publishUntil(t *testing.T, j *journal.Journal, enough func() bool) {
	t.Helper()
	for s := uint64(1); !enough(); s++ {
		r := journal.Record{Kind: journal.Message, Publisher: 1, Sequence: s, Prev: s - 1, Topic: []byte("t"), Body: make([]byte, 512)}
		if v, err := j.Append(&r); err != nil || v != journal.Accepted {
			t.Fatalf("%d: %v, %v", s, v, err)
		}
	}
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
}

// Only an empty journal adopts an id, and no journal adopts a second one.
func TestAdoptRefuses(t *testing.T) {
	j := openForTest(t, memfs.New())
	r := journal.Record{Kind: journal.Message, Publisher: 1, Sequence: 1, Topic: []byte("t")}
	if v, err := j.Append(&r); err != nil || v != journal.Accepted {
		t.Fatal(v, err)
	}
	if err := j.AdoptCluster(theirCluster); err == nil || !strings.Contains(err.Error(), "01020300: the journal has records") {
		t.Errorf("with a record: %v", err)
	}
	if _, err := j.FoundCluster(); err != nil {
		t.Errorf("a journal with records and without an id must be able to make one: %v", err)
	}
	if err := j.AdoptCluster(theirCluster); err == nil || !strings.Contains(err.Error(), "has a cluster id already") {
		t.Errorf("with an id: %v", err)
	}
}

// Damage has destroyed the id. If a record after the damage repeats the id, the journal knows
// it. Otherwise the journal adopts the id of its group, although some of the records after
// the damage are merged already.
func TestDamagedCluster(t *testing.T) {
	for _, again := range []bool{true, false} {
		disk := memfs.New()
		j := mustOpen(t, disk, largeSegments)
		if err := j.AdoptCluster(theirCluster); err != nil {
			t.Fatal(err)
		}
		for s := uint64(1); s <= 20; s++ {
			mustAppend(t, j, message(1, s, "body"), journal.Accepted)
		}
		if again {
			if err := j.BecomeIntact(); err != nil {
				t.Fatal(err)
			}
		}
		verifyAndClose(t, j)
		damageBody(t, disk, string(theirCluster[:]))
		j = openForTest(t, disk, largeSegments, setAside)
		if err := j.MergeAside(); err != nil || j.Damage() == nil || j.Empty() {
			t.Fatalf("%v, %v, empty %v", err, j.Damage(), j.Empty())
		}
		if known := !j.Cluster().ID.IsZero(); known != again {
			t.Fatalf("%+v", j.Cluster())
		}
		if err := j.AdoptCluster(theirCluster); (err != nil) != again {
			t.Fatal(err)
		}
		if c := j.Cluster(); c.ID != theirCluster || c.Intact != again {
			t.Errorf("%+v", c)
		}
	}
}
