package journal_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// fillTopic appends the messages of a publisher between two numbers, both included, on a topic.
func fillTopic(t *testing.T, j *journal.Journal, topic string, publisher, from, to uint64) {
	t.Helper()
	for n := from; n <= to; n++ {
		r := message(publisher, n, "body")
		r.Topic = []byte(topic)
		mustAppend(t, j, r, journal.Accepted)
	}
}

func wantRemoved(t *testing.T, j *journal.Journal, topic string, want bookmark.Vector) {
	t.Helper()
	got := j.RemovedMatching(func(name []byte) bool { return string(name) == topic }, nil)
	if !maps.Equal(got, want) {
		t.Errorf("removed on topic %s: %v, want %v", topic, got, want)
	}
}

// The journal knows the topics of removed messages, also after a restart (R9).
func TestRemovedByTopic(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk)
	fillTopic(t, j, "a", 1, 1, 5)
	fillTopic(t, j, "b", 1, 6, 9)
	fillTopic(t, j, "b", 2, 1, 3)
	for n := range uint64(20) { // more topics than the table has entries for
		fillTopic(t, j, fmt.Sprint("many", n), 3, n+1, n+1)
	}
	mustAppend(t, j, &journal.Record{Kind: journal.Tombstone, Publisher: 4, Sequence: 1, Reason: []byte("no")}, journal.Accepted)
	fillTopic(t, j, "rest", 9, 1, 300)
	fillTopic(t, j, "a", 1, 10, 10) // not removed
	mustSync(t, j)
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
		j = mustOpen(t, disk)
		check()
	}
	// Messages that were removed elsewhere may have any topic, also once the marker is removed.
	mustAppend(t, j, &journal.Record{Kind: journal.Gone, Publisher: 5, Sequence: 7, RunningCRC: 1}, journal.Accepted)
	fillTopic(t, j, "b", 5, 8, 8)
	wantRemoved(t, j, "none", bookmark.Vector{3: 20, 5: 7})
	fillTopic(t, j, "rest", 9, 301, 600)
	mustSync(t, j)
	if n, err := j.Trim(journal.Retention{Bytes: 8 << 10}); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	wantRemoved(t, j, "none", bookmark.Vector{3: 20, 5: 7})
	if v := j.RemovedMatching(func(name []byte) bool { return string(name) == "b" }, nil); v[5] != 8 || v[1] != 9 {
		t.Errorf("removed on topic b: %v", v)
	}
	verifyAndClose(t, j)
}

// The number of topic names is bounded. The topics beyond it count as one.
func TestRemovedOfManyTopics(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk, func(o *journal.Options) { o.SegmentBytes = 64 << 10 })
	for n := range uint64(1200) {
		fillTopic(t, j, fmt.Sprint("topic", n), n+1, 1, 1)
	}
	fillTopic(t, j, "rest", 5000, 1, 3000)
	mustSync(t, j)
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
	verifyAndClose(t, j)
	j = mustOpen(t, disk)
	defer verifyAndClose(t, j)
	check()
}
