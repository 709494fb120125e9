package journal_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// byUser returns a record of a kind that a user has published.
func byUser(kind journal.Kind, publisher, sequence uint64, user string) *journal.Record {
	r := message(publisher, sequence, "body")
	if r.Kind = kind; kind != journal.Message {
		r.Topic, r.Body = nil, nil
	}
	r.User = []byte(user)
	return r
}

// The first user of a publisher owns it, whatever the kind of the record. The owner survives in
// the log, in the head of a later segment, and after the publisher's records are trimmed.
func TestFirstUserOwns(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(j *journal.Journal)
	}{
		{"in the log", func(*journal.Journal) {}},
		{"in a head", func(j *journal.Journal) { fill(t, j, 30, 1, 200) }},
		{"of publishers whose records are gone", func(j *journal.Journal) {
			fill(t, j, 30, 1, 200)
			mustSync(t, j)
			if n, err := j.Trim(journal.Retention{Bytes: 1}); err != nil || n == 0 {
				t.Fatalf("%d segments trimmed, %v", n, err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := memfs.New()
			j := mustOpen(t, disk)
			for kind := journal.Message; kind <= journal.Elsewhere; kind++ {
				p := uint64(kind)
				mustAppend(t, j, message(p, 1, "nobody's"), journal.Accepted)
				if got := state(j, p).Owner; got != "" {
					t.Errorf("owner %q after a record without a user", got)
				}
				mustAppend(t, j, byUser(kind, p, 2, "joe"), journal.Accepted)
				mustAppend(t, j, byUser(journal.Message, p, 3, "ann"), journal.Accepted)
			}
			mustSync(t, j)
			tt.do(j)
			mustSync(t, j)
			if err := j.Kill(); err != nil {
				t.Fatal(err)
			}
			j = openForTest(t, disk.Crash(memfs.Durable))
			for kind := journal.Message; kind <= journal.Elsewhere; kind++ {
				if got := state(j, uint64(kind)).Owner; got != "joe" {
					t.Errorf("owner %q by a %v, want joe", got, kind)
				}
			}
			if got := state(j, 30).Owner; got != "" {
				t.Errorf("owner %q of a publisher without users", got)
			}
		})
	}
}

// A record that is not admitted gives its publisher no owner, and a forgotten publisher has none.
func TestOwnerEnds(t *testing.T) {
	c := newManualClock()
	j := openForTest(t, memfs.New(), func(o *journal.Options) { o.Now = c.Now })
	fill(t, j, 1, 1, 2)
	mustAppend(t, j, byUser(journal.Message, 1, 4, "ann"), journal.Hole)
	mustAppend(t, j, byUser(journal.Empty, 1, 2, "ann"), journal.Differs)
	mustAppend(t, j, byUser(journal.Message, 1, 3, "joe"), journal.Accepted)
	if got := state(j, 1).Owner; got != "joe" {
		t.Fatalf("owner %q", got)
	}
	for known := true; known; _, known = j.State(1) {
		fill(t, j, 9, state(j, 9).Have+1, state(j, 9).Have+100)
		mustSync(t, j)
		c.add(15 * time.Minute)
		if _, err := j.Trim(journal.Retention{Age: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	mustAppend(t, j, byUser(journal.Message, 1, 1, "ann"), journal.Accepted)
	if got := state(j, 1).Owner; got != "ann" {
		t.Errorf("owner %q after the publisher was forgotten", got)
	}
}

// An owner that a peer has stated is taken over for a known publisher that has none, durably.
func TestStatedOwners(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk)
	fill(t, j, 1, 1, 2)
	mustAppend(t, j, byUser(journal.Message, 2, 1, "joe"), journal.Accepted)
	end := j.End()
	if err := j.NoteOwners([]journal.PublisherOwner{{Publisher: 2, Owner: "ann"}, {Publisher: 3, Owner: "ann"}}); err != nil || j.End() != end {
		t.Fatalf("nothing is new, but the journal grows, %v", err)
	}
	if err := j.NoteOwners([]journal.PublisherOwner{{Publisher: 1, Owner: "ann"}, {Publisher: 2, Owner: "ann"}}); err != nil {
		t.Fatal(err)
	}
	for _, restart := range []func(){
		func() {},
		func() { verifyAndClose(t, j); j = mustOpen(t, disk) },
		func() { fill(t, j, 30, 1, 200); verifyAndClose(t, j); j = mustOpen(t, disk) },
	} {
		restart()
		if _, known := j.State(3); known || state(j, 1).Owner != "ann" || state(j, 2).Owner != "joe" {
			t.Errorf("%+v", j.States())
		}
	}
	mustAppend(t, j, byUser(journal.Message, 1, 3, "joe"), journal.Accepted)
	if got := state(j, 1).Owner; got != "ann" {
		t.Errorf("owner %q", got)
	}
	verifyAndClose(t, j)
}

// A user that is too long is refused, with a number or without. The journal goes on.
func TestUserTooLong(t *testing.T) {
	j := openForTest(t, memfs.New())
	for sequence := range uint64(2) {
		r := byUser(journal.Message, 1, sequence, strings.Repeat("u", record.MaxUser+1))
		if _, err := j.Append(r); err == nil || !strings.Contains(err.Error(), "at most 1024") {
			t.Errorf("sequence %d: %v", sequence, err)
		}
	}
	mustAppend(t, j, byUser(journal.Message, 1, 0, strings.Repeat("u", record.MaxUser)), journal.Accepted)
}

// Inspect compares the owners in heads with the records before them.
func TestInspectOwners(t *testing.T) {
	for lastUserOwns, faults := range map[bool]int{false: 0, true: 1} {
		disk := memfs.New()
		j := mustOpen(t, disk)
		mustAppend(t, j, byUser(journal.Message, 1, 1, "joe"), journal.Accepted)
		if lastUserOwns {
			journal.SetOwner(j, 1, "ann")
		}
		fill(t, j, 2, 1, 100)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		found, err := journal.Inspect(disk, dir, nil)
		if err != nil || len(found.Faults) != faults {
			t.Fatalf("%v, %v", found.Faults, err)
		}
		if want := `the head has the owner "ann" for publisher 1, but the records before it have "joe"`; faults > 0 && found.Faults[0].Error() != want {
			t.Errorf("%v, want %s", found.Faults[0], want)
		}
	}
}

// A head has the name of each owner once.
func TestOwnersShareTheirName(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk, func(o *journal.Options) { o.SegmentBytes = 1 << 20 })
	for p := range uint64(2000) {
		mustAppend(t, j, byUser(journal.Message, p+1, 1, fmt.Sprintf("%01024d", p%2)), journal.Accepted)
	}
	verifyAndClose(t, j)
	j = openForTest(t, disk)
	for p := range uint64(2000) {
		if got, want := state(j, p+1).Owner, fmt.Sprintf("%01024d", p%2); got != want {
			t.Fatalf("publisher %d has the owner %s", p+1, got)
		}
	}
	if n := journal.HeadBytes(j); n > 2000*100 {
		t.Errorf("a head of %d bytes for 2000 publishers of 2 owners", n)
	}
}
