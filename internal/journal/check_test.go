package journal_test

import (
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A publisher's check is durable with its first record. It comes back from the log, from
// the head of a later segment, and after its records are trimmed. Another publisher with
// the same id is told apart each time.
func TestCheckIsKept(t *testing.T) {
	who, other := bookmark.IdentityOfLife("life"), bookmark.IdentityOfLife("another life")
	for _, tt := range []struct {
		name string
		do   func(j *journal.Journal)
	}{
		{"in the log", func(*journal.Journal) {}},
		{"in a head", func(j *journal.Journal) { fill(t, j, 2, 1, 200) }},
		{"of a publisher whose records are gone", func(j *journal.Journal) {
			fill(t, j, 2, 1, 200)
			synced(t, j)
			if n, err := j.Trim(journal.Retention{Bytes: 1}); err != nil || n == 0 {
				t.Fatalf("%d segments trimmed, %v", n, err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := memfs.New()
			j := openOn(t, disk)
			r := *message(1, 1, "body")
			r.Check = who.Check
			put(t, j, &r, journal.Accepted)
			r = *message(1, 2, "body")
			r.Check = who.Check
			put(t, j, &r, journal.Accepted)
			if r.Check != (bookmark.Check{}) {
				t.Error("the second record is written with a check, too")
			}
			synced(t, j)
			tt.do(j)
			synced(t, j)
			if err := j.Kill(); err != nil {
				t.Fatal(err)
			}
			j = open(t, disk.Crash(memfs.Durable))
			if got := state(j, 1).Check; got != who.Check {
				t.Errorf("check %x after a power cut, want %x", got, who.Check)
			}
			for s := range uint64(3) {
				r := message(1, s+1, "forged")
				r.Check = other.Check
				put(t, j, r, journal.OtherPublisher)
			}
			r = *message(1, 3, "body")
			r.Check = who.Check
			put(t, j, &r, journal.Accepted)
		})
	}
}

// Two journals have the same contents if they differ only in the records that bring a
// check.
func TestCompareIgnoresChecks(t *testing.T) {
	var index [2]journal.Index
	for i := range index {
		disk := memfs.New()
		j := openOn(t, disk)
		for s := range uint64(3) {
			r := message(1, s+1, "body")
			if int(s) >= i {
				r.Check = bookmark.Check{1}
			}
			put(t, j, r, journal.Accepted)
		}
		end(t, j)
		var err error
		if index[i], err = journal.ReadIndex(disk, dir); err != nil {
			t.Fatal(err)
		}
	}
	if c := journal.Compare(index[0], index[1]); !c.Same() {
		t.Errorf("they differ: %+v", c.Diffs)
	}
}
