package journal_test

import (
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A publisher's check is durable with its first record. It survives in the log, in the head of
// a later segment, and after its records are trimmed. The journal then rejects another
// publisher with the same id.
func TestCheckIsKept(t *testing.T) {
	identity, other := bookmark.IdentityOfLife("life"), bookmark.IdentityOfLife("another life")
	for _, tt := range []struct {
		name string
		do   func(j *journal.Journal)
	}{
		{"in the log", func(*journal.Journal) {}},
		{"in a head", func(j *journal.Journal) { fill(t, j, 2, 1, 200) }},
		{"of a publisher whose records are gone", func(j *journal.Journal) {
			fill(t, j, 2, 1, 200)
			mustSync(t, j)
			if n, err := j.Trim(journal.Retention{Bytes: 1}); err != nil || n == 0 {
				t.Fatalf("%d segments trimmed, %v", n, err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := memfs.New()
			j := mustOpen(t, disk)
			r := *message(1, 1, "body")
			r.Check = identity.Check
			mustAppend(t, j, &r, journal.Accepted)
			r = *message(1, 2, "body")
			r.Check = identity.Check
			mustAppend(t, j, &r, journal.Accepted)
			if r.Check != (bookmark.Check{}) {
				t.Error("the second record is written with a check, too")
			}
			mustSync(t, j)
			tt.do(j)
			mustSync(t, j)
			if err := j.Kill(); err != nil {
				t.Fatal(err)
			}
			j = openForTest(t, disk.Crash(memfs.Durable))
			if got := state(j, 1).Check; got != identity.Check {
				t.Errorf("check %x after a power cut, want %x", got, identity.Check)
			}
			for s := range uint64(3) {
				r := message(1, s+1, "forged")
				r.Check = other.Check
				mustAppend(t, j, r, journal.OtherPublisher)
			}
			r = *message(1, 3, "body")
			r.Check = identity.Check
			mustAppend(t, j, &r, journal.Accepted)
		})
	}
}

// Two journals that differ only in the records with a check are the same.
func TestCompareIgnoresChecks(t *testing.T) {
	var index [2]journal.Index
	for i := range index {
		disk := memfs.New()
		j := mustOpen(t, disk)
		for s := range uint64(3) {
			r := message(1, s+1, "body")
			if int(s) >= i {
				r.Check = bookmark.Check{1}
			}
			mustAppend(t, j, r, journal.Accepted)
		}
		verifyAndClose(t, j)
		var err error
		if index[i], err = journal.ReadIndex(disk, dir); err != nil {
			t.Fatal(err)
		}
	}
	if c := journal.Compare(index[0], index[1]); !c.Same() {
		t.Errorf("they differ: %+v", c.Diffs)
	}
}
