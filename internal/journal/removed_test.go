package journal_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// on appends the messages from to to of a publisher on a topic.
func on(t *testing.T, j *journal.Journal, topic string, publisher, from, to uint64) {
	t.Helper()
	for n := from; n <= to; n++ {
		r := message(publisher, n, "body")
		r.Topic = []byte(topic)
		put(t, j, r, journal.Accepted)
	}
}

func wantRemoved(t *testing.T, j *journal.Journal, topic string, want bookmark.Vector) {
	t.Helper()
	got := j.RemovedMatching(func(name []byte) bool { return string(name) == topic }, nil)
	if !maps.Equal(got, want) {
		t.Errorf("of %s %v is removed, want %v", topic, got, want)
	}
}

// The journal knows the topics of removed messages, also after a restart (R9).
func TestRemovedByTopic(t *testing.T) {
	disk := memfs.New()
	j := openOn(t, disk)
	on(t, j, "a", 1, 1, 5)
	on(t, j, "b", 1, 6, 9)
	on(t, j, "b", 2, 1, 3)
	for n := range uint64(20) { // more than the table tells apart
		on(t, j, fmt.Sprint("many", n), 3, n+1, n+1)
	}
	put(t, j, &journal.Record{Kind: journal.Tombstone, Publisher: 4, Sequence: 1, Reason: []byte("no")}, journal.Accepted)
	on(t, j, "rest", 9, 1, 300)
	on(t, j, "a", 1, 10, 10) // not removed
	synced(t, j)
	wantRemoved(t, j, "a", bookmark.Vector{})
	if n, err := j.Trim(journal.Retention{Bytes: 8 << 10}); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	check := func() {
		t.Helper()
		rest := state(j, 9).Floor
		if rest == 0 || rest == 300 || state(j, 1).Floor != 9 {
			t.Fatalf("removed up to %d, and %+v", rest, state(j, 1))
		}
		wantRemoved(t, j, "a", bookmark.Vector{1: 5, 3: 20})
		wantRemoved(t, j, "b", bookmark.Vector{1: 9, 2: 3, 3: 20})
		wantRemoved(t, j, "many0", bookmark.Vector{3: 20})
		wantRemoved(t, j, "rest", bookmark.Vector{3: 20, 9: rest})
		wantRemoved(t, j, "none", bookmark.Vector{3: 20})
	}
	check()
	for range 2 {
		j.Kill()
		disk = disk.Crash(memfs.Durable)
		j = openOn(t, disk)
		check()
	}
	// Messages that were removed elsewhere may be of any topic, also once the marker is
	// removed.
	put(t, j, &journal.Record{Kind: journal.Gone, Publisher: 5, Sequence: 7, RunningCRC: 1}, journal.Accepted)
	on(t, j, "b", 5, 8, 8)
	wantRemoved(t, j, "none", bookmark.Vector{3: 20, 5: 7})
	on(t, j, "rest", 9, 301, 600)
	synced(t, j)
	if n, err := j.Trim(journal.Retention{Bytes: 8 << 10}); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	wantRemoved(t, j, "none", bookmark.Vector{3: 20, 5: 7})
	if v := j.RemovedMatching(func(name []byte) bool { return string(name) == "b" }, nil); v[5] != 8 || v[1] != 9 {
		t.Errorf("of b %v is removed", v)
	}
	end(t, j)
}

// The number of topic names is bounded: topics beyond it are not told apart.
func TestRemovedOfManyTopics(t *testing.T) {
	disk := memfs.New()
	j := openOn(t, disk, func(o *journal.Options) { o.SegmentBytes = 64 << 10 })
	for n := range uint64(1200) {
		on(t, j, fmt.Sprint("topic", n), n+1, 1, 1)
	}
	on(t, j, "rest", 5000, 1, 3000)
	synced(t, j)
	if n, err := j.Trim(journal.Retention{Bytes: 8 << 10}); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	check := func() {
		t.Helper()
		v := j.RemovedMatching(func(name []byte) bool { return string(name) == "topic7" }, nil)
		if v[8] != 1 || v[9] != 0 || v[1200] != 1 || len(v) < 100 || len(v) > 300 {
			t.Errorf("%d publishers, %v", len(v), v)
		}
	}
	check()
	end(t, j)
	j = openOn(t, disk)
	defer end(t, j)
	check()
}
